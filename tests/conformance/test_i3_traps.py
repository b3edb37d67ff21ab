"""I3, the traps of the protocol, each sprung on brainctl and on etcd. Those of the command line are in test_i3_cli."""

import json
import socket
import urllib.request
from pathlib import Path

import pytest

from brainctl import errors
from brainctl.errors import Status
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.wire import frames
from tests.conformance.client import AUTH, CLUSTER, KV, LEASE, MAINTENANCE, Client, refused, shape
from tests.conformance.conftest import Own
from tests.conformance.test_b3_watch import history_and_progress, large
from tests.conformance.test_b5_maintenance import hash_kv, save
from tests.contract.driver import after, delete, get, is_value, put, txn
from tests.support.rbac import READ, add_user, enable, grant, token_of

Range = pb.RangeRequest


def test_i3_01_the_limit_comes_after_sort_and_filter_and_the_count_before(server: Client, key: bytes) -> None:
    for name in (b"a", b"b", b"c", b"d"):
        server.put(key + name, name)
    low = server.revision - 2
    found = server.get(
        key, after(key), limit=2, min_mod_revision=low, sort_target=Range.VALUE, sort_order=Range.DESCEND
    )
    assert ([kv.value for kv in found.kvs], found.more, found.count) == ([b"d", b"c"], True, 4)
    found = server.get(key, after(key), limit=3, min_mod_revision=low)
    assert (len(found.kvs), found.more, found.count) == (3, False, 4)


def test_i3_02_no_comparison_with_the_value_of_a_missing_key_holds(server: Client, key: bytes) -> None:
    for result in range(4):
        for value in (b"", b"v"):
            for end in (b"", after(key)):
                assert not server.txn([is_value(key, value, end, result)]).succeeded


@pytest.mark.parametrize(
    ("branch", "duplicate"),
    [
        (lambda k: [put(k), delete(k, after(k))], True),
        (lambda k: [put(k), txn(success=[delete(k, after(k))])], True),
        (lambda k: [txn(success=[put(k)]), txn(success=[delete(k)])], False),
        (lambda k: [delete(k, after(k)), txn(failure=[put(k + b"x")])], True),
        (lambda k: [txn(success=[put(k)], failure=[put(k)])], False),
        (lambda k: [txn(success=[put(k)]), txn(success=[put(k)])], True),
        (lambda k: [txn(success=[txn(success=[put(k)])]), put(k)], True),
        (lambda k: [delete(k), delete(k, after(k)), txn(success=[delete(k)])], False),
    ],
)
def test_i3_03_a_key_is_written_once_in_all_of_a_transaction(
    server: Client, key: bytes, branch: object, duplicate: bool
) -> None:
    operations = branch(key)  # type: ignore[operator]
    if duplicate:
        assert refused(server.txn, success=operations) == errors.DUPLICATE_KEY
        assert refused(server.txn, failure=operations) == errors.DUPLICATE_KEY
    else:
        assert server.txn(success=operations).succeeded


def test_i3_04_a_range_in_a_transaction_sees_its_earlier_writes(server: Client, key: bytes) -> None:
    server.put(key + b"old", b"0")
    inner = txn(success=[get(key, after(key)), put(key + b"b", b"2")])
    done = server.txn(success=[put(key + b"a", b"1"), inner, delete(key + b"old"), get(key, after(key))])
    assert [kv.value for kv in done.responses[1].response_txn.responses[0].response_range.kvs] == [b"1", b"0"]
    assert [kv.value for kv in done.responses[3].response_range.kvs] == [b"1", b"2"]


def test_i3_05_created_comes_first_and_refusals_have_no_id(server: Client, key: bytes) -> None:
    first = server.put(key).header.revision
    with server.watch() as watch:
        for number in range(5):
            watch.send(create_request=pb.WatchCreateRequest(key=key, start_revision=first, watch_id=number + 1))
        watch.send(create_request=pb.WatchCreateRequest(key=key, watch_id=3))
        created, seen = set(), set()
        while len(seen) < 5 or -1 not in created:
            response = watch.next()
            if response.created:
                assert response.canceled is (response.watch_id == -1)
                created.add(response.watch_id)
            else:
                assert response.watch_id in created
                seen.add(response.watch_id)


def test_i3_06_progress_speaks_for_all_watchers_and_never_goes_back(server: Client, key: bytes) -> None:
    first = server.put(key).header.revision
    for number in range(499):
        server.put(key + b"%d" % (number % 3))
    promised = 0
    for response in history_and_progress(server, key, start_revision=first):
        if response.watch_id == -1:
            assert response.header.revision >= promised
            promised = response.header.revision
        assert all(event.kv.mod_revision > promised for event in response.events)


def test_i3_07_fragments_join_to_whole_revisions(server: Client, key: bytes) -> None:
    at = large(server, key)
    server.put(key)
    with server.watch() as watch:
        watch.create(key, after(key), start_revision=at, prev_kv=True, fragment=True)
        joined: list[list[int]] = [[]]
        while sum(map(len, joined)) < 6:
            response = watch.next()
            joined[-1] += [event.kv.mod_revision for event in response.events]
            if not response.fragment:
                joined.append([])
    whole = [set(revisions) for revisions in joined if revisions]
    assert all(not one & other for at, one in enumerate(whole) for other in whole[at + 1 :])
    assert [event for revisions in joined for event in revisions] == [at] * 5 + [at + 1]


def test_i3_08_a_compacted_start_names_the_revision_and_a_future_one_waits(server: Client, key: bytes) -> None:
    old = server.put(key).header.revision
    at = server.put(key).header.revision
    server.compact(at)
    with server.watch() as watch:
        watch.create(key, start_revision=old)
        gone = watch.next()
        assert (gone.canceled, gone.compact_revision) == (True, at)
        watch.create(key, start_revision=at + 2)
        server.put(key, b"before")
        server.put(key, b"there")
        assert shape(watch.events(1)) == [("PUT", key, b"there")]


def test_i3_09_a_revoke_is_one_revision_and_a_plain_put_detaches(server: Client, key: bytes) -> None:
    lease = server.grant().ID
    for name in (b"a", b"b", b"c"):
        server.put(key + name, lease=lease)
    server.put(key + b"b")
    at = server.revision
    assert server.revoke(lease).header.revision == at + 1
    assert server.keys(key, after(key)) == [key + b"b"]
    assert {e.kv.mod_revision for e in server.history(at + 1, key, after(key), 2)} == {at + 1}


def test_i3_10_what_changes_nothing_shows_the_revision_as_it_is(server: Client, key: bytes) -> None:
    at = server.put(key + b"x").header.revision
    lease = server.grant()
    answers = [
        lease,
        server.get(key, revision=at - 1),
        server.delete(key),
        server.txn(success=[get(key), delete(key)]),
        server.txn([is_value(key, b"")], [put(key)]),
        server.revoke(lease.ID),
        server.compact(at),
    ]
    assert {answer.header.revision for answer in answers} == {at}


def test_i3_11_keys_of_the_edge(server: Client) -> None:
    server.delete(b"\xff", b"\0")
    edge = [b"\0", b"\0\0", b"\xff", b"\xff\xff", b"\xff\xff\xff"]
    for name in edge:
        server.put(name, name)
    assert server.keys(b"\0", b"\1") == edge[:2]
    assert server.keys(b"\xff", b"\0") == edge[2:]
    assert server.keys(b"\xff\xff", b"\0") == edge[3:]
    assert [name for name in server.keys(b"\0", b"\0") if name in edge] == edge
    assert server.delete(b"\xff", b"\0").deleted == 3


def test_i3_12_a_watch_is_checked_for_the_range_that_it_gets(own: Own) -> None:
    guarded = own()
    root = enable(guarded)
    grant(guarded, "role", READ, b"foo", token=root)
    add_user(guarded, "user", "userpw", "role", token=root)
    with guarded.watch(token=token_of(guarded, "user", "userpw")) as watch:
        for key, end in ((b"foo", b"\0"), (b"", b""), (b"", b"\0"), (b"foo", b"foo\0\0")):
            assert watch.create(key, end).canceled
        assert not watch.create(b"foo").canceled
        assert not watch.create(b"foo", b"foo\0").canceled


def test_i3_13_errors_have_the_codes_and_texts_that_clients_match_on(server: Client, key: bytes) -> None:
    at = server.put(key).header.revision
    server.compact(at)
    unknown = 0x7FFF_FFFF_0000_0003
    lease = server.grant().ID
    calls: list[tuple[Status, str, object]] = [
        (errors.EMPTY_KEY, KV + "Range", pb.RangeRequest()),
        (errors.KEY_NOT_FOUND, KV + "Put", pb.PutRequest(key=key + b"none", ignore_value=True)),
        (errors.VALUE_PROVIDED, KV + "Put", pb.PutRequest(key=key, value=b"v", ignore_value=True)),
        (errors.LEASE_PROVIDED, KV + "Put", pb.PutRequest(key=key, lease=1, ignore_lease=True)),
        (errors.TOO_MANY_OPS, KV + "Txn", pb.TxnRequest(success=[get(key)] * 129)),
        (errors.DUPLICATE_KEY, KV + "Txn", pb.TxnRequest(success=[put(key)] * 2)),
        (errors.INVALID_SORT_OPTION, KV + "Range", pb.RangeRequest(key=key, sort_target=7)),  # type: ignore[arg-type]
        (errors.COMPACTED, KV + "Range", pb.RangeRequest(key=key, revision=at - 1)),
        (errors.COMPACTED, KV + "Compact", pb.CompactionRequest(revision=at)),
        (errors.FUTURE_REVISION, KV + "Range", pb.RangeRequest(key=key, revision=at + 1000)),
        (errors.LEASE_NOT_FOUND, KV + "Put", pb.PutRequest(key=key, lease=unknown)),
        (errors.LEASE_NOT_FOUND, LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(ID=unknown)),
        (errors.LEASE_EXISTS, LEASE + "LeaseGrant", pb.LeaseGrantRequest(ID=lease, TTL=9)),
        (errors.LEASE_TTL_TOO_LARGE, LEASE + "LeaseGrant", pb.LeaseGrantRequest(TTL=9_000_000_001)),
        (errors.REQUEST_TOO_LARGE, KV + "Put", pb.PutRequest(key=key, value=bytes(1_600_000))),
        (errors.MEMBER_NOT_FOUND, CLUSTER + "MemberRemove", pb.MemberRemoveRequest(ID=1)),
        (errors.MEMBER_URLS_INVALID, CLUSTER + "MemberAdd", pb.MemberAddRequest(peerURLs=["x"])),
        (errors.BAD_TRANSFEREE, MAINTENANCE + "MoveLeader", pb.MoveLeaderRequest(targetID=1)),
        (errors.DOWNGRADE_VERSION_INVALID, MAINTENANCE + "Downgrade", pb.DowngradeRequest(version="2.0")),
        (errors.ROOT_USER_MISSING, AUTH + "AuthEnable", pb.AuthEnableRequest()),
        (errors.AUTH_NOT_ENABLED, AUTH + "Authenticate", pb.AuthenticateRequest(name="root", password="x")),
        (errors.USER_NOT_FOUND, AUTH + "UserGet", pb.AuthUserGetRequest(name="nobody")),
        (errors.USER_EMPTY, AUTH + "UserAdd", pb.AuthUserAddRequest(password="secret")),
        (errors.ROLE_NOT_FOUND, AUTH + "RoleGet", pb.AuthRoleGetRequest(role="none")),
        (errors.ROLE_EMPTY, AUTH + "RoleAdd", pb.AuthRoleAddRequest()),
    ]
    met = [refused(server.call, path, request) for _, path, request in calls]
    assert met == [tuple(status) for status, _, _ in calls]


def test_i3_14a_a_client_that_pings_too_often_is_sent_away(server: Client) -> None:
    ping = frames.ping(bytes(8))
    with socket.create_connection(("127.0.0.1", server.server.port), timeout=120) as connection:
        connection.sendall(frames.PREFACE + frames.settings({}) + ping * 4)
        received = b""
        while data := connection.recv(1 << 16):
            received += data
    assert received.endswith(b"too_many_pings")


def test_i3_15_hashes_compare_where_the_compacted_revision_is_the_same(own: Own) -> None:
    fresh, found = own(), []
    for number in range(6):
        fresh.put(b"a%d" % (number % 2), b"%d" % number)
    for compacted in (0, 3, 5):
        if compacted:
            fresh.compact(compacted)
        answer = hash_kv(fresh, 7)
        found.append((answer.compact_revision, answer.hash))
    assert [compacted for compacted, _ in found] == [-1, 3, 5]
    assert len({value for _, value in found}) == 3


def test_i3_16_integers_beyond_two_to_the_53_are_text_in_json(server: Client) -> None:
    lease = (1 << 53) + 1
    body = json.dumps({"ID": str(lease), "TTL": "60"}).encode()
    url = f"http://{server.server.endpoint}/v3/lease/grant"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        assert json.load(answer)["ID"] == str(lease)
    server.revoke(lease)


def test_i3_17_no_key_and_no_value_is_special(server: Client, key: bytes) -> None:
    """What KubeBrain keeps for itself: a value, a pattern, characters, a revision, a key that is watched in a loop."""
    for name in (b"/events/x", b"a$b", b"a", b"a!", b"compact_rev_key", b"no slash"):
        server.put(key + name, b"tombstone")
    assert [kv.value for kv in server.get(key, after(key)).kvs] == [b"tombstone"] * 6
    assert server.keys(key, after(key)) == sorted(server.keys(key, after(key)))
    assert server.get(key + b"/events/x").kvs[0].lease == 0
    with server.watch() as watch:
        watch.create(b"compact_rev_key")
        server.put(b"compact_rev_key", b"1")
        assert shape(watch.events(1)) == [("PUT", b"compact_rev_key", b"1")]


def test_i3_17b_nor_is_a_revision(own: Own) -> None:
    fresh = own()
    puts = [fresh.start(KV + "Put", pb.PutRequest(key=b"a")) for _ in range(1887)]
    assert max(put.next().header.revision for put in puts) == 1888
    assert fresh.get(b"a", b"b", revision=1888).kvs[0].version == 1887


def test_i3_20_the_sum_behind_a_snapshot_is_known_by_its_length(server: Client, tmp_path: Path) -> None:
    save(server, tmp_path / "file")
    assert (tmp_path / "file").stat().st_size % 512 == 32


def test_i3_21_a_tombstone_at_the_compact_revision_can_be_watched(server: Client, key: bytes) -> None:
    server.put(key + b"a")
    server.put(key + b"b")
    at = server.delete(key, after(key)).header.revision
    server.put(key + b"c")
    server.compact(at)
    events = server.history(at, key, after(key), 3)
    assert [(e.type, e.kv.key[-1:]) for e in events] == [
        (kv_pb2.Event.DELETE, b"a"),
        (kv_pb2.Event.DELETE, b"b"),
        (kv_pb2.Event.PUT, b"c"),
    ]


def test_i3_22_a_store_without_space_still_deletes_and_revokes(own: Own) -> None:
    full = own()
    lease = full.grant().ID
    full.put(b"leased", lease=lease)
    full.put(b"a")
    full.call(MAINTENANCE + "Alarm", pb.AlarmRequest(action=pb.AlarmRequest.ACTIVATE, alarm=pb.NOSPACE))
    assert refused(full.put, b"b") == refused(full.grant) == errors.NO_SPACE
    assert full.delete(b"a").deleted == 1
    assert full.txn(success=[delete(b"a")]).succeeded
    full.revoke(lease)
    assert full.get(b"\0", b"\0").count == 0


def test_i3_25_no_change_of_a_live_key_is_seen_without_what_was_before(server: Client, key: bytes) -> None:
    """kube-apiserver ends a watch on such an event; so a compaction leaves the version that the next change needs."""
    server.put(key, b"1")
    with server.watch() as watch:
        watch.create(key, after(key), prev_kv=True)
        for number in range(2, 8):
            server.compact(server.revision)
            server.put(key, b"%d" % number)
        server.compact(server.revision)
        server.delete(key)
        events = watch.events(7)
    assert [event.prev_kv.value for event in events] == [b"%d" % number for number in range(1, 8)]


def test_i3_26_a_revoke_and_its_deletes_are_one_durable_write_in_key_order(own: Own) -> None:
    mortal = own(fsync=True)
    lease = mortal.grant().ID
    names = [b"c", b"a", b"d", b"b"]
    for name in names:
        mortal.put(name, lease=lease)
    at = mortal.revoke(lease).header.revision
    mortal.restart(kill=True)
    assert (mortal.leases(), mortal.keys(b"\0", b"\0"), mortal.revision) == ([], [], at)
    events = mortal.history(at, b"\0", b"\0", 4)
    assert [(e.kv.key, e.kv.mod_revision) for e in events] == [(name, at) for name in sorted(names)]
