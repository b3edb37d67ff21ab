"""What our own client does about each refusal of a region, lost answers, and locks: on servers that fail as told."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest

from brainctl.tikv.client import Client, Security, limits, open_client
from brainctl.tikv.client.region_errors import Reaction, advise
from brainctl.tikv.client.regions import encode_key
from brainctl.tikv.errors import NOT_WRITTEN, Failure, TikvFailed
from brainctl.tikvpb import errorpb_pb2 as errorpb
from brainctl.tikvpb import kvrpcpb_pb2 as kv
from brainctl.tikvpb import metapb_pb2 as meta
from tests.peers.certificates import Authority
from tests.unit.tikv.client.fault_server import FaultCluster, fault_cluster

VALUE = kv.GetResponse(value=b"v")
Told = errorpb.Told


def error(**fields: object) -> errorpb.Error:
    return errorpb.Error(message="as told", **fields)


def refusal(**fields: object) -> kv.GetResponse:
    return kv.GetResponse(region_error=error(**fields))


PASSING = [
    "region_not_found",
    "key_not_in_region",
    "stale_command",
    "store_not_match",
    "max_timestamp_not_synced",
    "read_index_not_ready",
    "proposal_in_merging_mode",
    "data_is_not_ready",
    "region_not_initialized",
    "recovery_in_progress",
    "is_witness",
    "mismatch_peer_id",
    "bucket_version_not_match",
    "undetermined_result",
]
LASTING = {
    "raft_entry_too_large": Failure.TOO_LARGE,
    "disk_full": Failure.DISK_FULL,
    "flashback_in_progress": Failure.UNAVAILABLE,
    "flashback_not_prepared": Failure.UNAVAILABLE,
}


def test_each_error_of_the_protocol_has_a_row() -> None:
    fields = {field.name for field in errorpb.Error.DESCRIPTOR.fields} - {"message"}
    others = {"not_leader", "epoch_not_match", "server_is_busy"}
    assert fields == {*PASSING, *LASTING, *others}
    assert advise(error()).reaction is Reaction.FORGET
    assert not advise(error()).certain


def run(work: Callable[[FaultCluster, Client], Awaitable[None]], stores: int = 1) -> None:
    async def whole() -> None:
        async with fault_cluster(stores) as cluster:
            client = open_client([cluster.endpoint])
            try:
                await work(cluster, client)
            finally:
                await client.close()

    asyncio.run(asyncio.wait_for(whole(), 120))


async def got(client: Client) -> dict[bytes, bytes]:
    return await (await client.snapshot(1)).get([b"k"])


@pytest.mark.parametrize("field", PASSING)
def test_a_refusal_that_passes_costs_a_repetition(field: str) -> None:
    async def work(cluster: FaultCluster, client: Client) -> None:
        cluster.answers["KvGet"] = [refusal(**{field: Told()}), VALUE]
        assert await got(client) == {b"k": b"v"}
        assert len(cluster.asked) == 2

    run(work)


@pytest.mark.parametrize("field", LASTING)
def test_a_refusal_that_does_not_pass_is_reported(field: str) -> None:
    async def work(cluster: FaultCluster, client: Client) -> None:
        told = errorpb.RaftEntryTooLarge() if field == "raft_entry_too_large" else Told()
        cluster.answers["KvGet"] = [refusal(**{field: told}), VALUE]
        with pytest.raises(TikvFailed) as refused:
            await got(client)
        assert refused.value.failure is LASTING[field]
        assert len(cluster.asked) == 1

    run(work)


def test_a_busy_server_is_asked_again() -> None:
    async def work(cluster: FaultCluster, client: Client) -> None:
        cluster.answers["KvGet"] = [refusal(server_is_busy=errorpb.ServerIsBusy(backoff_ms=1)), VALUE]
        assert await got(client) == {b"k": b"v"}

    run(work)


def test_the_leader_that_a_refusal_names_is_asked() -> None:
    async def work(cluster: FaultCluster, client: Client) -> None:
        hint = errorpb.NotLeader(region_id=5, leader=meta.Peer(id=13, store_id=3))
        cluster.answers["KvGet"] = [refusal(not_leader=hint), VALUE]
        assert await got(client) == {b"k": b"v"}
        assert await got(client) == {b"k": b"v"}
        assert cluster.to_stores("KvGet") == [1, 3, 3]

    run(work, stores=3)


def test_without_a_known_leader_the_peers_are_asked_in_turn() -> None:
    """As after a restart of the Placement Driver, which knows no leader until a heartbeat of the region."""

    async def work(cluster: FaultCluster, client: Client) -> None:
        cluster.leader = 0
        nobody = refusal(not_leader=errorpb.NotLeader(region_id=5))
        cluster.answers["KvGet"] = [nobody, nobody, VALUE]
        assert await got(client) == {b"k": b"v"}
        assert cluster.to_stores("KvGet") == [1, 2, 3]

    run(work, stores=3)


def test_a_store_that_is_away_is_passed_over() -> None:
    async def work(cluster: FaultCluster, client: Client) -> None:
        cluster.answers["KvGet"] = [grpc.StatusCode.UNAVAILABLE, VALUE]
        assert await got(client) == {b"k": b"v"}
        assert cluster.to_stores("KvGet") == [1, 2]

    run(work, stores=3)


def test_the_regions_of_a_split_are_taken_over() -> None:
    async def work(cluster: FaultCluster, client: Client) -> None:
        halves = []
        for number, start, end in ((5, b"", encode_key(b"j")), (6, encode_key(b"j"), b"")):
            half = meta.Region(id=number, start_key=start, end_key=end)
            half.region_epoch.version, half.region_epoch.conf_ver = 2, 1
            half.peers.add(id=number * 10, store_id=1)
            halves.append(half)
        cluster.answers["KvGet"] = [refusal(epoch_not_match=errorpb.EpochNotMatch(current_regions=halves)), VALUE]
        assert await got(client) == {b"k": b"v"}
        contexts = [request.context for _, _, request in cluster.asked if isinstance(request, kv.GetRequest)]
        assert [(context.region_id, context.region_epoch.version) for context in contexts] == [(5, 1), (6, 2)]

    run(work)


def test_a_commit_whose_region_splits_meanwhile_takes_two_phases() -> None:
    async def work(cluster: FaultCluster, client: Client) -> None:
        cluster.answers["KvPrewrite"] = [
            kv.PrewriteResponse(region_error=error(epoch_not_match=errorpb.EpochNotMatch())),
            kv.PrewriteResponse(),
        ]
        cluster.answers["KvCommit"] = [kv.CommitResponse()]
        left, right = meta.Region(), meta.Region()
        left.CopyFrom(cluster.regions[0])
        right.CopyFrom(cluster.regions[0])
        left.end_key = right.start_key = encode_key(b"j")
        right.id = 6
        transaction = await client.begin()
        # The first request meets the region as it was before.
        pending = asyncio.ensure_future(transaction.commit({b"a": b"1", b"k": b"2"}))
        await cluster.reached.wait()
        cluster.regions = [left, right]
        await pending
        prewrites = [request for _, name, request in cluster.asked if name == "KvPrewrite"]
        assert sorted([m.key for m in p.mutations] for p in prewrites) == [[b"a"], [b"a", b"k"], [b"k"]]
        assert [p.try_one_pc for p in prewrites] == [True, False, False]

    run(work)


LOST = grpc.StatusCode.UNAVAILABLE
CONFLICT = kv.PrewriteResponse(errors=[kv.KeyError(conflict=kv.WriteConflict(start_ts=1, conflict_ts=1))])


async def committed(client: Client) -> int:
    return await (await client.begin()).commit({b"k": b"1"})


@pytest.mark.parametrize(
    ("status", "commit"),
    [(kv.CheckTxnStatusResponse(commit_version=42), 42), (kv.CheckTxnStatusResponse(), None)],
    ids=["made", "not-made"],
)
def test_a_lost_answer_is_settled_by_asking_the_primary(status: kv.CheckTxnStatusResponse, commit: int | None) -> None:
    """The repetition of a commit that has happened conflicts, with itself."""

    async def work(cluster: FaultCluster, client: Client) -> None:
        cluster.answers["KvPrewrite"] = [LOST, CONFLICT]
        cluster.answers["KvCheckTxnStatus"] = [status]
        if commit is not None:
            assert await committed(client) == commit
        else:
            with pytest.raises(TikvFailed) as refused:
                await committed(client)
            assert refused.value.failure is Failure.CONFLICT
        (asked,) = [request for _, name, request in cluster.asked if isinstance(request, kv.CheckTxnStatusRequest)]
        assert asked.rollback_if_not_exist
        retried = [r.context.is_retry_request for _, _, r in cluster.asked if isinstance(r, kv.PrewriteRequest)]
        assert retried == [False, True]

    run(work)


@pytest.mark.parametrize("phase", ["KvPrewrite", "KvCommit"])
def test_what_nobody_answers_is_undetermined(monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    monkeypatch.setattr(limits, "PATIENCE", 0.3)
    if phase == "KvCommit":
        monkeypatch.setattr(limits, "ONE_PHASE_BYTES", 0)

    async def work(cluster: FaultCluster, client: Client) -> None:
        cluster.answers["KvPrewrite"] = [kv.PrewriteResponse()]
        cluster.answers[phase] = [LOST]
        with pytest.raises(TikvFailed) as unknown:
            await committed(client)
        assert unknown.value.failure is Failure.UNDETERMINED
        assert "KvBatchRollback" not in [name for _, name, _ in cluster.asked]

    run(work)


def test_a_first_phase_that_nobody_answers_wrote_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the one above: without the second phase nothing is visible, so this is no unknown outcome."""
    monkeypatch.setattr(limits, "PATIENCE", 0.3)
    monkeypatch.setattr(limits, "ONE_PHASE_BYTES", 0)

    async def work(cluster: FaultCluster, client: Client) -> None:
        cluster.answers["KvPrewrite"] = [LOST]
        cluster.answers["KvBatchRollback"] = [kv.BatchRollbackResponse()]
        with pytest.raises(TikvFailed) as failed:
            await committed(client)
        assert failed.value.failure is Failure.UNAVAILABLE

    run(work)


def test_a_commit_comes_after_what_a_reader_has_seen_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ONE_PHASE_BYTES", 0)

    async def work(cluster: FaultCluster, client: Client) -> None:
        cluster.answers["KvPrewrite"] = [kv.PrewriteResponse()]
        expired = kv.KeyError(commit_ts_expired=kv.CommitTsExpired(min_commit_ts=1))
        cluster.answers["KvCommit"] = [kv.CommitResponse(error=expired), kv.CommitResponse()]
        commit = await committed(client)
        tried = [r.commit_version for _, _, r in cluster.asked if isinstance(r, kv.CommitRequest)]
        assert len(tried) == 2
        assert tried[0] < tried[1] == commit

    run(work)


def test_a_transaction_that_others_ended_was_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ONE_PHASE_BYTES", 0)

    async def work(cluster: FaultCluster, client: Client) -> None:
        cluster.answers["KvPrewrite"] = [kv.PrewriteResponse()]
        gone = kv.KeyError(txn_lock_not_found=kv.TxnLockNotFound(key=b"k"))
        cluster.answers["KvCommit"] = [LOST, kv.CommitResponse(error=gone)]
        cluster.answers["KvBatchRollback"] = [kv.BatchRollbackResponse()]
        with pytest.raises(TikvFailed) as refused:
            await committed(client)
        assert refused.value.failure in NOT_WRITTEN

    run(work)


def locked(**fields: object) -> kv.GetResponse:
    lock = kv.LockInfo(primary_lock=b"p", lock_version=1, key=b"k", lock_ttl=1, **fields)
    return kv.GetResponse(error=kv.KeyError(locked=lock))


def resolved(cluster: FaultCluster) -> list[tuple[int, int, list[bytes]]]:
    return [
        (request.start_version, request.commit_version, sorted(request.keys))
        for _, _, request in cluster.asked
        if isinstance(request, kv.ResolveLockRequest)
    ]


@pytest.mark.parametrize("commit", [0, 9])
def test_the_lock_of_a_dead_process_ends_as_its_primary_says(commit: int) -> None:
    async def work(cluster: FaultCluster, client: Client) -> None:
        cluster.answers["KvGet"] = [locked(), VALUE]
        cluster.answers["KvCheckTxnStatus"] = [kv.CheckTxnStatusResponse(commit_version=commit)]
        cluster.answers["KvResolveLock"] = [kv.ResolveLockResponse()]
        assert await got(client) == {b"k": b"v"}
        assert resolved(cluster) == [(1, commit, [b"k"])]

    run(work)


def test_a_read_passes_a_lock_that_will_be_committed_later() -> None:
    async def work(cluster: FaultCluster, client: Client) -> None:
        cluster.answers["KvGet"] = [locked(), VALUE]
        cluster.answers["KvCheckTxnStatus"] = [
            kv.CheckTxnStatusResponse(lock_ttl=3000, action=kv.MinCommitTSPushed, lock_info=kv.LockInfo(lock_version=1))
        ]
        assert await got(client) == {b"k": b"v"}
        reads = [list(r.context.resolved_locks) for _, _, r in cluster.asked if isinstance(r, kv.GetRequest)]
        assert reads == [[], [1]]
        assert resolved(cluster) == []

    run(work)


@pytest.mark.parametrize(
    ("secondaries", "commit"),
    [
        (kv.CheckSecondaryLocksResponse(locks=[kv.LockInfo(use_async_commit=True, min_commit_ts=8)] * 2), 8),
        (kv.CheckSecondaryLocksResponse(locks=[kv.LockInfo(use_async_commit=True, min_commit_ts=8)]), 0),
        (kv.CheckSecondaryLocksResponse(commit_ts=11), 11),
    ],
    ids=["all-locked", "one-missing", "one-committed"],
)
def test_a_transaction_of_async_commit_is_decided_by_all_its_locks(
    secondaries: kv.CheckSecondaryLocksResponse, commit: int
) -> None:
    async def work(cluster: FaultCluster, client: Client) -> None:
        primary = kv.LockInfo(lock_version=1, primary_lock=b"p", use_async_commit=True, min_commit_ts=5)
        primary.secondaries.extend([b"k", b"l"])
        cluster.answers["KvGet"] = [locked(), VALUE]
        cluster.answers["KvCheckTxnStatus"] = [kv.CheckTxnStatusResponse(lock_ttl=1, lock_info=primary)]
        cluster.answers["KvCheckSecondaryLocks"] = [secondaries]
        cluster.answers["KvResolveLock"] = [kv.ResolveLockResponse()]
        assert await got(client) == {b"k": b"v"}
        assert (1, commit, [b"k", b"l", b"p"]) in resolved(cluster)

    run(work)


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_both_ends_are_sure_of_each_other_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    monkeypatch.setattr(limits, "PATIENCE", 0.3 if not known else 60.0)
    authority, other = Authority(tmp_path, "ca"), Authority(tmp_path, "other")
    (certificate, key), mine = authority.issue("server"), (authority if known else other).issue("client")
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())], authority.file.read_bytes(), require_client_auth=True
    )
    security = Security(str(authority.file), *map(str, mine))

    async def whole() -> None:
        async with fault_cluster(1, credentials) as cluster:
            client = open_client([cluster.endpoint], security)
            cluster.answers["KvGet"] = [VALUE]
            if known:
                assert await client.timestamp() > 0
                assert await got(client) == {b"k": b"v"}
            else:
                with pytest.raises(TikvFailed) as refused:
                    await client.timestamp()
                assert refused.value.failure is Failure.UNAVAILABLE
            await client.close()

    asyncio.run(asyncio.wait_for(whole(), 120))
