"""B5, maintenance: hashes, snapshots, status, alarms."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from brainctl.errors import BAD_TRANSFEREE, COMPACTED, CORRUPT, FUTURE_REVISION, NO_SPACE, Code
from brainctl.etcdpb import rpc_pb2 as pb
from tests.conformance.client import CLUSTER, MAINTENANCE, Client, refused
from tests.conformance.conftest import Own
from tests.contract.driver import delete, put
from tests.peers import require
from tests.peers.servers import Brainctl, Etcd

ACT = pb.AlarmRequest


def hash_kv(server: Client, revision: int = 0) -> pb.HashKVResponse:
    return server.call(MAINTENANCE + "HashKV", pb.HashKVRequest(revision=revision))


def history(server: Client) -> None:
    """Puts, deletes, a lease, a transaction with sub-revisions, a compaction."""
    server.grant(lease=7)
    for number in range(20):
        server.put(b"k%d" % (number % 6), b"v%d" % number, lease=7 * (number % 2))
    server.delete(b"k", b"k3")
    server.txn(success=[put(b"x"), put(b"a"), delete(b"k4")])
    server.compact(12)


def test_b5_01a_the_hash_is_that_of_etcd_for_the_same_history(tmp_path: Path) -> None:
    found = []
    for kind in (Brainctl, Etcd):
        with kind(tmp_path / kind.name) as started:
            client = Client(started)
            history(client)
            answers = [hash_kv(client, revision) for revision in (0, 15, 23)]
            found.append([(a.hash, a.compact_revision, a.hash_revision) for a in answers])
            client.close()
    assert found[0] == found[1]
    assert [answer[1:] for answer in found[0]] == [(12, 23), (12, 15), (12, 23)]


def test_b5_01b_the_hash_depends_on_more_than_keys_and_values(own: Own) -> None:
    hashes = []
    for lease in (0, 7):
        fresh = own()
        fresh.grant(lease=7)
        fresh.put(b"a", b"v", lease=lease)
        hashes.append(hash_kv(fresh).hash)
    assert hashes[0] != hashes[1]


def test_b5_01c_revisions_that_cannot_be_hashed(server: Client, key: bytes) -> None:
    at = server.put(key).header.revision
    server.compact(at)
    assert refused(hash_kv, server, at + 100) == FUTURE_REVISION
    assert refused(hash_kv, server, at - 1) == COMPACTED
    assert hash_kv(server).hash_revision == at


def save(server: Client, path: Path) -> list[pb.SnapshotResponse]:
    parts = server.stream(MAINTENANCE + "Snapshot", [pb.SnapshotRequest()], 100_000)
    path.write_bytes(b"".join(part.blob for part in parts))
    return parts


def test_b5_02a_a_snapshot_counts_down_and_ends_with_its_sum(server: Client, key: bytes, tmp_path: Path) -> None:
    server.put(key, bytes(1_000_000))
    parts = save(server, tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    assert len(content) % 512 == 32
    assert content[-32:] == hashlib.sha256(content[:-32]).digest()
    *data, trailer = parts
    left = len(content) - 32
    for part in data:
        left -= len(part.blob)
        assert part.remaining_bytes == left
    assert (left, trailer.remaining_bytes, len(trailer.blob)) == (0, 0, 32)


def test_b5_02b_a_snapshot_names_the_version(server: Client, tmp_path: Path) -> None:
    assert {part.version for part in save(server, tmp_path / "file")} <= {"3.7.0", ""}
    assert save(server, tmp_path / "file")[0].version == "3.7.0"


def etcdutl(*argv: object) -> str:
    command = [str(require("etcdutl")), *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_b5_02c_etcdutl_reads_it_and_an_etcd_is_restored_from_it(own: Own, tmp_path: Path) -> None:
    source, file = own(), tmp_path / "file"
    history(source)
    save(source, file)
    status = json.loads(etcdutl("snapshot", "status", file, "-w", "json"))
    everything = source.get(b"\0", b"\0")
    assert (status["revision"], status["version"]) == (source.revision, "3.7.0")
    etcdutl("snapshot", "restore", file, "--data-dir", tmp_path / "restored")
    with Etcd(tmp_path / "etcd", data_dir=tmp_path / "restored") as started:
        restored = Client(started)
        assert restored.get(b"\0", b"\0").kvs == everything.kvs
        assert hash_kv(restored).hash == hash_kv(source).hash
        assert restored.leases() == [7]
        restored.close()


def test_b5_03a_the_status_says_what_there_is(own: Own) -> None:
    fresh = own()
    fresh.put(b"a", bytes(100_000))
    status = fresh.status()
    assert tuple(map(int, status.version.split("."))) >= (3, 6, 0)
    assert status.storageVersion == "3.7.0"
    assert status.leader == status.header.member_id
    assert (status.isLearner, list(status.errors), status.downgradeInfo.enabled) == (False, [], False)
    assert status.dbSize >= status.dbSizeInUse > 0
    assert status.raftIndex >= status.raftAppliedIndex > 0
    assert status.dbSizeQuota == 2 << 30
    assert status.header.revision == 2


def test_b5_03b_the_status_names_alarms(own: Own) -> None:
    alarmed = own()
    alarm(alarmed, ACT.ACTIVATE, pb.NOSPACE)
    assert ["NOSPACE" in error for error in alarmed.status().errors] == [True]


def alarm(server: Client, action: int, kind: int = pb.NONE, member: int = 0) -> list[int]:
    request = pb.AlarmRequest(action=action, alarm=kind, memberID=member)  # type: ignore[arg-type]
    return [alarm.alarm for alarm in server.call(MAINTENANCE + "Alarm", request).alarms]


@pytest.mark.parametrize("raised", [pb.NOSPACE, pb.CORRUPT])
def test_b5_04a_an_alarm_is_raised_listed_and_cleared(own: Own, raised: int) -> None:
    alarmed = own()
    assert alarm(alarmed, ACT.GET) == []
    assert alarm(alarmed, ACT.ACTIVATE, raised) == [raised]
    assert alarm(alarmed, ACT.GET) == alarm(alarmed, ACT.GET, raised) == [raised]
    if raised == pb.NOSPACE:
        assert refused(alarmed.put, b"a") == NO_SPACE
    else:
        assert refused(alarmed.put, b"a") == refused(alarmed.delete, b"a") == refused(alarmed.grant) == CORRUPT
    assert alarmed.get(b"a").count == 0
    assert alarm(alarmed, ACT.DEACTIVATE, raised) == [raised]
    assert alarm(alarmed, ACT.GET) == []
    assert alarmed.put(b"a").header.revision == 2


def test_b5_04b_no_alarm_is_none(own: Own) -> None:
    quiet = own()
    assert alarm(quiet, ACT.ACTIVATE, pb.NONE) == []
    assert alarm(quiet, ACT.DEACTIVATE, pb.NOSPACE) == []
    assert quiet.put(b"a").header.revision == 2


def test_b1_06_the_leader_is_asked_to_stay_or_to_give_way(server: Client) -> None:
    only = server.status().header.member_id
    assert server.call(MAINTENANCE + "MoveLeader", pb.MoveLeaderRequest(targetID=only)) == pb.MoveLeaderResponse()
    assert refused(server.call, MAINTENANCE + "MoveLeader", pb.MoveLeaderRequest(targetID=5)) == BAD_TRANSFEREE


def test_b1_07_one_member_answers_as_a_cluster_of_one(server: Client) -> None:
    (member,) = server.call(CLUSTER + "MemberList", pb.MemberListRequest()).members
    assert (member.name, member.isLearner) == ("default", False)
    assert member.ID == server.status().header.member_id
    remove = pb.MemberRemoveRequest(ID=member.ID)
    assert refused(server.call, CLUSTER + "MemberRemove", remove)[0] is Code.UNKNOWN
    promote = pb.MemberPromoteRequest(ID=member.ID)
    assert refused(server.call, CLUSTER + "MemberPromote", promote)[0] is Code.FAILED_PRECONDITION
    update = pb.MemberUpdateRequest(ID=member.ID, peerURLs=member.peerURLs)
    assert list(server.call(CLUSTER + "MemberUpdate", update).members) == [member]


def test_b1_08_a_downgrade_is_checked_noted_and_cancelled(own: Own) -> None:
    fresh = own()

    def downgrade(action: int, version: str = "") -> str:
        request = pb.DowngradeRequest(action=action, version=version)  # type: ignore[arg-type]
        return fresh.call(MAINTENANCE + "Downgrade", request).version  # type: ignore[no-any-return]

    assert downgrade(pb.DowngradeRequest.VALIDATE, "3.6") == "3.7"
    assert refused(downgrade, pb.DowngradeRequest.ENABLE, "3.5")[1] == "etcdserver: invalid downgrade target version"
    downgrade(pb.DowngradeRequest.ENABLE, "3.6")
    assert fresh.status().downgradeInfo == pb.DowngradeInfo(enabled=True, targetVersion="3.6.0")
    downgrade(pb.DowngradeRequest.CANCEL)
    assert not fresh.status().downgradeInfo.enabled
