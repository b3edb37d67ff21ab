"""KV.Txn: comparisons, the order of what is done, nesting, and what is refused."""

from typing import Any

import pytest

from brainctl.errors import DUPLICATE_KEY, EMPTY_KEY, FUTURE_REVISION, KEY_NOT_FOUND, TOO_MANY_OPS
from brainctl.etcdpb import rpc_pb2 as pb
from tests.contract.driver import Driver, after, delete, get, is_value, is_version, put, txn

EQUAL, GREATER, LESS, NOT_EQUAL = pb.Compare.EQUAL, pb.Compare.GREATER, pb.Compare.LESS, pb.Compare.NOT_EQUAL


def test_an_empty_transaction_succeeds(store: Driver) -> None:
    revision = store.revision
    done = store.txn()
    assert (done.succeeded, list(done.responses), done.header.revision) == (True, [], revision)


def test_a_comparison_chooses_the_branch(store: Driver, key: bytes) -> None:
    create = ([is_version(key, 0)], [put(key, b"mine")], [get(key)])
    first, second = store.txn(*create), store.txn(*create)
    assert (first.succeeded, second.succeeded) == (True, False)
    assert first.responses[0].response_put.header.revision == first.header.revision
    assert second.responses[0].response_range.kvs[0].value == b"mine"
    assert second.header.revision == first.header.revision


@pytest.mark.parametrize(
    ("target", "field", "value"),
    [
        (pb.Compare.VERSION, "version", 2),
        (pb.Compare.CREATE, "create_revision", None),
        (pb.Compare.MOD, "mod_revision", None),
        (pb.Compare.LEASE, "lease", None),
    ],
)
def test_numbers_are_compared(store: Driver, key: bytes, target: Any, field: str, value: int | None) -> None:
    store.put(key)
    store.put(key, lease=store.grant(60).ID)
    number = value or getattr(store.get(key).kvs[0], field)

    def holds(result: Any, against: int) -> bool:
        compare = pb.Compare(key=key, target=target, result=result, **{field: against})  # type: ignore[arg-type]
        return store.txn([compare]).succeeded

    below, above = number - 1, number + 1
    assert [holds(EQUAL, n) for n in (below, number, above)] == [False, True, False]
    assert [holds(NOT_EQUAL, n) for n in (below, number, above)] == [True, False, True]
    assert [holds(GREATER, n) for n in (below, number, above)] == [True, False, False]
    assert [holds(LESS, n) for n in (below, number, above)] == [False, False, True]


def test_values_are_compared_as_bytes(store: Driver, key: bytes) -> None:
    store.put(key, b"b")
    for result, true_for in ((EQUAL, [b"b"]), (NOT_EQUAL, [b"a", b"ba"]), (GREATER, [b"a"]), (LESS, [b"ba"])):
        found = [v for v in (b"a", b"b", b"ba") if store.txn([is_value(key, v, result=result)]).succeeded]
        assert found == true_for


def test_a_missing_key_compares_as_zero(store: Driver, key: bytes) -> None:
    for target, field in (
        (pb.Compare.VERSION, "version"),
        (pb.Compare.CREATE, "create_revision"),
        (pb.Compare.MOD, "mod_revision"),
        (pb.Compare.LEASE, "lease"),
    ):
        for end in (b"", after(key)):
            compare = pb.Compare(key=key, range_end=end, target=target, **{field: 0})  # type: ignore[arg-type]
            assert store.txn([compare]).succeeded


@pytest.mark.parametrize("result", [EQUAL, NOT_EQUAL, GREATER, LESS])
def test_a_value_comparison_of_a_missing_key_never_holds(store: Driver, key: bytes, result: Any) -> None:
    for value in (b"", b"x"):
        assert not store.txn([is_value(key, value, result=result)]).succeeded
        assert not store.txn([is_value(key, value, after(key), result)]).succeeded


def test_all_comparisons_must_hold(store: Driver, key: bytes) -> None:
    store.put(key, b"v")
    assert store.txn([is_version(key, 1), is_value(key, b"v")]).succeeded
    assert not store.txn([is_version(key, 1), is_value(key, b"w")]).succeeded


def test_a_range_comparison_must_hold_for_every_key(store: Driver, key: bytes) -> None:
    store.put(key + b"a")
    store.put(key + b"b")
    assert store.txn([is_version(key, 1, after(key))]).succeeded
    store.put(key + b"b")
    assert not store.txn([is_version(key, 1, after(key))]).succeeded
    assert store.txn([is_version(key, 0, after(key), GREATER)]).succeeded


def test_all_writes_share_one_revision(store: Driver, key: bytes) -> None:
    revision = store.revision
    store.put(key + b"gone")
    done = store.txn(success=[put(key + b"a"), delete(key + b"gone"), put(key + b"b")])
    assert done.header.revision == revision + 2
    assert {kv.mod_revision for kv in store.get(key, after(key)).kvs} == {revision + 2}


def test_a_transaction_that_writes_nothing_does_not_advance_the_revision(store: Driver, key: bytes) -> None:
    revision = store.revision
    done = store.txn(success=[get(key), delete(key)])
    assert (done.header.revision, store.revision) == (revision, revision)


def test_a_range_sees_the_earlier_writes_of_its_transaction(store: Driver, key: bytes) -> None:
    store.put(key + b"old", b"1")
    both = get(key, after(key))
    done = store.txn(success=[both, put(key + b"new", b"2"), both, delete(key + b"old", prev_kv=True), both])
    seen = [[kv.value for kv in done.responses[at].response_range.kvs] for at in (0, 2, 4)]
    assert seen == [[b"1"], [b"2", b"1"], [b"2"]]
    assert done.responses[3].response_delete_range.prev_kvs[0].value == b"1"
    assert done.responses[2].response_range.kvs[0].mod_revision == done.header.revision


def test_a_put_after_a_read_returns_the_previous_version(store: Driver, key: bytes) -> None:
    store.put(key, b"1")
    done = store.txn(success=[get(key), put(key, b"2", prev_kv=True)])
    assert done.responses[1].response_put.prev_kv.value == b"1"


@pytest.mark.parametrize("name", ["put twice", "put in a deleted range", "put in a nested branch", "nested twice"])
def test_a_key_is_written_once(store: Driver, key: bytes, name: str) -> None:
    operations = {
        "put twice": [put(key), put(key)],
        "put in a deleted range": [put(key + b"x"), delete(key, after(key))],
        "put in a nested branch": [put(key), txn(failure=[put(key)])],
        "nested twice": [txn(success=[put(key)]), txn(failure=[put(key)])],
    }[name]
    for order in (operations, operations[::-1]):
        for request in (pb.TxnRequest(success=order), pb.TxnRequest(failure=order)):
            assert store.status_of(store.store.txn(request)) == DUPLICATE_KEY


def test_a_nested_delete_may_follow_a_nested_put_but_not_precede_it(store: Driver, key: bytes) -> None:
    """etcd holds the puts of a nested branch against earlier deletes only; clients may rely on it."""
    operations = [txn(success=[put(key)]), txn(success=[delete(key)])]
    assert store.txn(success=operations).responses[1].response_txn.responses[0].response_delete_range.deleted == 1
    request = pb.TxnRequest(success=operations[::-1])
    assert store.status_of(store.store.txn(request)) == DUPLICATE_KEY


def test_writes_that_do_not_meet_are_allowed(store: Driver, key: bytes) -> None:
    store.txn(success=[put(key + b"b"), delete(key, key + b"b"), delete(key + b"b\0", after(key))])
    store.txn(success=[delete(key, after(key)), delete(key + b"b")])
    store.txn(success=[put(key)], failure=[put(key)])
    store.txn(success=[txn(success=[put(key)], failure=[put(key)])])
    store.txn(success=[put(key), get(key, after(key)), get(key)])
    assert store.get(key).kvs[0].version == 3


def test_nested_transactions_answer_in_place(store: Driver, key: bytes) -> None:
    inner = txn([is_version(key + b"x", 0)], [put(key + b"a")], [put(key + b"b")])
    done = store.txn(success=[inner, get(key + b"a")])
    assert done.responses[0].response_txn.succeeded
    assert done.responses[0].response_txn.responses[0].HasField("response_put")
    assert done.responses[1].response_range.count == 1


def test_every_path_is_chosen_before_anything_is_written(store: Driver, key: bytes) -> None:
    inner = txn([is_version(key, 0)], [put(key + b"then")], [put(key + b"else")])
    done = store.txn(success=[put(key), inner])
    assert done.responses[1].response_txn.succeeded
    assert store.get(key + b"then").count == 1


def test_a_branch_holds_at_most_128_operations(store: Driver, key: bytes) -> None:
    def operations(number: int) -> list[pb.RequestOp]:
        return [put(key + b"%03d" % n) for n in range(number)]

    store.txn(success=operations(128))
    for request in (
        pb.TxnRequest(success=operations(129)),
        pb.TxnRequest(failure=operations(129)),
        pb.TxnRequest(compare=[is_version(key, 0)] * 129),
    ):
        assert store.status_of(store.store.txn(request)) == TOO_MANY_OPS


def test_a_nested_branch_has_what_its_parent_leaves(store: Driver, key: bytes) -> None:
    inner = [get(key)] * 100
    store.txn(success=[*[get(key)] * 27, txn(success=inner)])
    request = pb.TxnRequest(success=[*[get(key)] * 28, txn(success=inner)])
    assert store.status_of(store.store.txn(request)) == TOO_MANY_OPS


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        (pb.RequestOp(), KEY_NOT_FOUND),
        (put(b""), EMPTY_KEY),
        (get(b""), EMPTY_KEY),
        (delete(b""), EMPTY_KEY),
        (txn(success=[put(b"")]), EMPTY_KEY),
        (txn(failure=[get(b"")]), EMPTY_KEY),
    ],
)
def test_a_bad_operation_refuses_the_whole(store: Driver, key: bytes, operation: Any, status: Any) -> None:
    request = pb.TxnRequest(success=[put(key), operation])
    assert store.status_of(store.store.txn(request)) == status
    assert store.get(key).count == 0


def test_a_comparison_without_a_key_is_refused(store: Driver) -> None:
    assert store.status_of(store.store.txn(pb.TxnRequest(compare=[pb.Compare()]))) == EMPTY_KEY


def test_a_failing_operation_of_the_chosen_branch_undoes_the_whole(store: Driver, key: bytes) -> None:
    revision = store.revision
    request = pb.TxnRequest(success=[put(key), get(key, revision=revision + 100)])
    assert store.status_of(store.store.txn(request)) == FUTURE_REVISION
    assert (store.get(key).count, store.revision) == (0, revision)


def test_a_range_of_the_past_inside_a_transaction(store: Driver, key: bytes) -> None:
    old = store.put(key, b"old").header.revision
    store.put(key, b"new")
    done = store.txn(success=[get(key, revision=old), get(key)])
    assert [r.response_range.kvs[0].value for r in done.responses] == [b"old", b"new"]
