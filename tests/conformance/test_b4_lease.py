"""B4, leases."""

import time

import pytest

from brainctl.errors import LEASE_EXISTS, LEASE_NOT_FOUND, LEASE_TTL_TOO_LARGE
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from tests.conformance.client import LEASE, Client, refused
from tests.conformance.conftest import Own
from tests.contract.driver import after, put

UNKNOWN = 0x7FFF_FFFF_0000_0002


def keep_alive(server: Client, lease: int) -> pb.LeaseKeepAliveResponse:
    return server.stream(LEASE + "LeaseKeepAlive", [pb.LeaseKeepAliveRequest(ID=lease)], 1)[0]


def test_b4_01_the_server_chooses_an_id_for_zero(server: Client) -> None:
    first, second = server.grant(), server.grant()
    assert 0 < first.ID != second.ID > 0
    assert {first.ID, second.ID} <= set(server.leases())


def test_b4_02_an_id_is_granted_once(server: Client) -> None:
    lease = server.grant().ID
    assert refused(server.grant, 60, lease) == LEASE_EXISTS
    server.revoke(lease)
    assert server.grant(60, lease).ID == lease


def test_b4_03_a_ttl_has_a_greatest_value(server: Client) -> None:
    assert refused(server.grant, 9_000_000_001) == LEASE_TTL_TOO_LARGE
    assert server.grant(9_000_000_000).TTL == 9_000_000_000


@pytest.mark.parametrize("ttl", [-1, 0, 1])
def test_b4_04_and_a_least(server: Client, ttl: int) -> None:
    granted = server.grant(ttl)
    assert granted.TTL == 2
    server.revoke(granted.ID)


def test_b4_05a_a_revoke_deletes_the_keys_in_one_revision_in_their_order(server: Client, key: bytes) -> None:
    lease = server.grant().ID
    for name in (b"c", b"a", b"b"):
        server.put(key + name, lease=lease)
    at = server.revision + 1
    assert server.revoke(lease).header.revision == at
    events = server.history(at, key, after(key), 3)
    assert [(e.kv.key, e.kv.mod_revision, e.type) for e in events] == [
        (key + name, at, kv_pb2.Event.DELETE) for name in (b"a", b"b", b"c")
    ]


def test_b4_05b_and_so_does_the_end_of_its_time(server: Client, key: bytes) -> None:
    lease = server.grant(2).ID
    last = server.txn(success=[put(key + name, lease=lease) for name in (b"b", b"a")]).header.revision
    events = server.history(last + 1, key, after(key), 2)
    assert [e.kv.key for e in events] == [key + b"a", key + b"b"]
    assert len({e.kv.mod_revision for e in events}) == 1
    assert server.time_to_live(lease).TTL == -1


def test_b4_05c_a_lease_without_keys_ends_without_a_revision(server: Client) -> None:
    lease, at = server.grant().ID, server.revision
    assert server.revoke(lease).header.revision == at


def test_b4_06_the_lease_and_its_keys_go_together_whatever_comes(own: Own) -> None:
    mortal = own()
    kept, gone = mortal.grant(lease=1).ID, mortal.grant(lease=2).ID
    mortal.put(b"kept", lease=kept)
    mortal.put(b"gone", lease=gone)
    mortal.revoke(gone)
    mortal.restart(kill=True)
    assert mortal.leases() == [kept]
    assert mortal.keys(b"\0", b"\0") == [b"kept"]
    assert list(mortal.time_to_live(kept, keys=True).keys) == [b"kept"]


def test_b4_07_to_keep_an_unknown_lease_alive_answers_zero(server: Client) -> None:
    kept = keep_alive(server, UNKNOWN)
    assert (kept.ID, kept.TTL) == (UNKNOWN, 0)
    lease = server.grant(60).ID
    assert keep_alive(server, lease).TTL == 60


def test_b4_08_to_revoke_an_unknown_lease_is_an_error(server: Client) -> None:
    assert refused(server.revoke, UNKNOWN) == LEASE_NOT_FOUND


def test_b4_09_the_time_to_live_of_an_unknown_lease_is_minus_one(server: Client, key: bytes) -> None:
    found = server.time_to_live(UNKNOWN, keys=True)
    assert (found.ID, found.TTL, found.grantedTTL, list(found.keys)) == (UNKNOWN, -1, 0, [])
    lease = server.grant(60).ID
    server.put(key, lease=lease)
    found = server.time_to_live(lease, keys=True)
    assert (found.grantedTTL, list(found.keys)) == (60, [key])
    assert 0 < found.TTL <= 60


def test_b4_11_after_a_restart_leases_have_their_full_time(own: Own) -> None:
    restarted = own()
    restarted.grant(100, 1)
    while restarted.time_to_live(1).TTL > 97:
        time.sleep(0.1)
    began = time.monotonic()
    restarted.restart()
    remains = restarted.time_to_live(1).TTL
    assert remains >= 100 - (time.monotonic() - began) - 2


def test_b4_12_a_key_has_at_most_one_lease(server: Client, key: bytes) -> None:
    first, second = server.grant().ID, server.grant().ID
    server.put(key, lease=first)
    server.put(key, lease=second)
    assert not server.time_to_live(first, keys=True).keys
    server.revoke(first)
    assert server.get(key).kvs[0].lease == second
