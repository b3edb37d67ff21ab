"""B2, transactions."""

from typing import Any

import pytest

from brainctl.errors import COMPACTED, DUPLICATE_KEY, FUTURE_REVISION, KEY_NOT_FOUND, TOO_MANY_OPS
from brainctl.etcdpb import rpc_pb2 as pb
from tests.conformance.client import Client, refused
from tests.contract.driver import after, delete, get, is_value, is_version, put, txn

EQUAL, GREATER, LESS, NOT_EQUAL = pb.Compare.EQUAL, pb.Compare.GREATER, pb.Compare.LESS, pb.Compare.NOT_EQUAL
NUMBERS = ("version", "create_revision", "mod_revision", "lease")


def compare(key: bytes, field: str, value: int, end: bytes = b"", result: Any = EQUAL) -> pb.Compare:
    target = {"version": 0, "create_revision": 1, "mod_revision": 2, "lease": 4}[field]
    return pb.Compare(key=key, range_end=end, target=target, result=result, **{field: value})  # type: ignore[arg-type]


def test_b2_08a_all_comparisons_must_hold(server: Client, key: bytes) -> None:
    server.put(key, b"v")
    assert server.txn([is_version(key, 1), is_value(key, b"v")]).succeeded
    assert not server.txn([is_version(key, 1), is_value(key, b"w")]).succeeded
    assert server.txn().succeeded


def test_b2_08b_a_range_comparison_must_hold_for_each_key(server: Client, key: bytes) -> None:
    server.put(key + b"a")
    server.put(key + b"b")
    assert server.txn([is_version(key, 1, after(key))]).succeeded
    server.put(key + b"b")
    assert not server.txn([is_version(key, 1, after(key))]).succeeded
    assert server.txn([is_version(key, 0, after(key), GREATER)]).succeeded


def test_b2_08c_a_missing_key_compares_as_zero(server: Client, key: bytes) -> None:
    for field in NUMBERS:
        assert server.txn([compare(key, field, 0)]).succeeded
        assert server.txn([compare(key, field, 1, result=LESS)]).succeeded
        assert not server.txn([compare(key, field, 0, result=NOT_EQUAL)]).succeeded


@pytest.mark.parametrize("result", [EQUAL, NOT_EQUAL, GREATER, LESS])
def test_b2_08d_a_value_comparison_of_a_missing_key_never_holds(server: Client, key: bytes, result: Any) -> None:
    for value in (b"", b"x"):
        assert not server.txn([is_value(key, value, result=result)]).succeeded


def test_b2_08e_an_empty_range_compares_as_a_missing_key(server: Client, key: bytes) -> None:
    for field in NUMBERS:
        assert server.txn([compare(key, field, 0, after(key))]).succeeded
    assert not server.txn([is_value(key, b"", after(key))]).succeeded
    assert not server.txn([is_value(key, b"", after(key), NOT_EQUAL)]).succeeded


def test_b2_08f_transactions_nest(server: Client, key: bytes) -> None:
    deep = txn([is_version(key, 1)], [put(key + b"yes")], [txn([is_version(key, 0)], [put(key + b"no")])])
    done = server.txn(success=[txn(success=[deep, get(key + b"no")])])
    middle = done.responses[0].response_txn
    assert not middle.responses[0].response_txn.succeeded
    assert middle.responses[0].response_txn.responses[0].response_txn.succeeded
    assert middle.responses[1].response_range.count == 1


def test_b2_08g_all_paths_are_chosen_before_anything_is_written(server: Client, key: bytes) -> None:
    inner = txn([is_version(key, 0)], [put(key + b"then")], [put(key + b"else")])
    done = server.txn(success=[put(key), inner])
    assert done.responses[1].response_txn.succeeded
    assert server.keys(key + b"then") == [key + b"then"]


def test_b2_08h_a_branch_holds_at_most_128_operations(server: Client, key: bytes) -> None:
    puts = [put(key + b"%03d" % number) for number in range(129)]
    assert server.txn(success=puts[1:]).succeeded
    assert refused(server.txn, success=puts) == refused(server.txn, failure=puts) == TOO_MANY_OPS
    assert refused(server.txn, [is_version(key, 0)] * 129) == TOO_MANY_OPS


def test_b2_08i_a_nested_branch_has_what_is_left(server: Client, key: bytes) -> None:
    inner = txn(success=[get(key)] * 100)
    assert server.txn(success=[*[get(key)] * 27, inner]).succeeded
    assert refused(server.txn, success=[*[get(key)] * 28, inner]) == TOO_MANY_OPS


@pytest.mark.parametrize(
    "name", ["put twice", "put in a deleted range", "put above a branch that puts", "put in two transactions"]
)
def test_b2_08j_a_branch_writes_a_key_once(server: Client, key: bytes, name: str) -> None:
    operations = {
        "put twice": [put(key), put(key)],
        "put in a deleted range": [put(key + b"x"), delete(key, after(key))],
        "put above a branch that puts": [put(key), txn(failure=[put(key)])],
        "put in two transactions": [txn(success=[put(key)]), txn(failure=[put(key)])],
    }[name]
    for order in (operations, operations[::-1]):
        assert refused(server.txn, success=order) == refused(server.txn, failure=order) == DUPLICATE_KEY
    assert server.txn(success=[delete(key, after(key)), delete(key)]).succeeded


def test_b2_08k_then_and_else_may_write_the_same(server: Client, key: bytes) -> None:
    assert server.txn(success=[txn(success=[put(key)], failure=[put(key), get(key)])]).succeeded
    assert server.txn(success=[put(key)], failure=[delete(key, after(key))]).succeeded


def test_b2_08l_an_operation_that_is_none_is_refused(server: Client, key: bytes) -> None:
    assert refused(server.txn, success=[put(key), pb.RequestOp()]) == KEY_NOT_FOUND
    assert server.get(key).count == 0


def test_b2_08m_all_writes_have_one_revision(server: Client, key: bytes) -> None:
    server.put(key + b"gone")
    done = server.txn(success=[put(key + b"a"), delete(key + b"gone"), txn(success=[put(key + b"b")])])
    assert {kv.mod_revision for kv in server.get(key, after(key)).kvs} == {done.header.revision}


def test_b2_08n_a_range_sees_the_writes_before_it(server: Client, key: bytes) -> None:
    both = get(key, after(key))
    server.put(key + b"old")
    done = server.txn(success=[both, put(key + b"new"), both, delete(key + b"old"), both])
    seen = [[kv.key.removeprefix(key) for kv in done.responses[at].response_range.kvs] for at in (0, 2, 4)]
    assert seen == [[b"old"], [b"new", b"old"], [b"new"]]


def test_b2_08o_a_range_of_the_past_inside_a_transaction(server: Client, key: bytes) -> None:
    old = server.put(key, b"old").header.revision
    server.put(key, b"new")
    done = server.txn(success=[put(key + b"x"), get(key, revision=old), get(key)])
    assert [done.responses[at].response_range.kvs[0].value for at in (1, 2)] == [b"old", b"new"]


def test_b2_08p_a_read_that_fails_undoes_the_whole(server: Client, key: bytes) -> None:
    at = server.put(key + b"x").header.revision
    server.compact(at)
    assert refused(server.txn, success=[put(key), get(key, revision=at + 100)]) == FUTURE_REVISION
    assert refused(server.txn, success=[put(key), get(key, revision=at - 1)]) == COMPACTED
    assert (server.get(key).count, server.revision) == (0, at)


def test_b2_08q_numbers_and_bytes_are_compared(server: Client, key: bytes) -> None:
    server.put(key, b"b", lease=server.grant().ID)
    (kv,) = server.get(key).kvs
    for field in NUMBERS:
        value = getattr(kv, field)
        for result, holds in ((EQUAL, [0]), (NOT_EQUAL, [-1, 1]), (GREATER, [-1]), (LESS, [1])):
            found = [by for by in (-1, 0, 1) if server.txn([compare(key, field, value + by, result=result)]).succeeded]
            assert found == holds
    for result, true_for in ((EQUAL, [b"b"]), (NOT_EQUAL, [b"a", b"ba"]), (GREATER, [b"a"]), (LESS, [b"ba"])):
        values = [v for v in (b"a", b"b", b"ba") if server.txn([is_value(key, v, result=result)]).succeeded]
        assert values == true_for
