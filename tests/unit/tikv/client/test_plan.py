"""What a commit sends, and what errors about keys mean."""

import pytest

from brainctl.tikv.client import limits
from brainctl.tikv.client.key_errors import judge
from brainctl.tikv.client.plan import Plan
from brainctl.tikv.client.timestamps import spread
from brainctl.tikv.errors import NOT_WRITTEN, Failure
from brainctl.tikvpb import kvrpcpb_pb2 as kv
from brainctl.tikvpb import pdpb_pb2 as pd


def test_what_fits_is_committed_in_one_phase() -> None:
    plan = Plan(9, {b"b": b"1", b"a": None})
    assert (plan.keys, plan.primary) == ([b"a", b"b"], b"a")
    assert plan.prewrite_batches(plan.keys) == [[b"a", b"b"]]
    request = plan.prewrite(plan.keys, ttl=3000, min_commit=12, in_region=2)
    assert request.try_one_pc
    assert [(m.op, m.key, m.value) for m in request.mutations] == [(kv.Del, b"a", b""), (kv.Put, b"b", b"1")]
    assert (request.start_version, request.min_commit_ts, request.primary_lock) == (9, 12, b"a")
    # A part of the keys, as in one of several regions, cannot be the whole commit.
    assert not plan.prewrite([b"a"], 3000, 12, 1).try_one_pc


def test_what_is_large_takes_two_phases_in_batches() -> None:
    plan = Plan(9, {b"%04d" % number: bytes(10_000) for number in range(1000)})
    parts = plan.prewrite_batches(plan.keys)
    assert [key for part in parts for key in part] == plan.keys
    assert 9 <= len(parts) <= 11
    assert not any(plan.prewrite(part, 3000, 12, 1000).try_one_pc for part in parts)
    assert all(plan.prewrite(part, 3000, 12, 1000).ByteSize() < 2 * limits.PREWRITE_BYTES for part in parts)


def test_the_primary_is_committed_first() -> None:
    plan = Plan(9, {b"a": b"1", b"b": b"2"}, locked=[b"z", b"b"], for_update=11)
    assert plan.primary == b"z"
    assert plan.commit_batches(plan.keys) == [[b"z", b"a", b"b"]]
    request = plan.prewrite(plan.keys, 3000, 12, 3)
    # A key that was locked and is not written gives its lock back with the commit.
    assert [(m.op, m.key) for m in request.mutations] == [(kv.Put, b"a"), (kv.Put, b"b"), (kv.Lock, b"z")]
    assert request.for_update_ts == 11
    assert list(request.pessimistic_actions) == [kv.PrewriteRequest.DO_PESSIMISTIC_CHECK] * 3


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (kv.KeyError(conflict=kv.WriteConflict(start_ts=1)), Failure.CONFLICT),
        (kv.KeyError(retryable="try it"), Failure.CONFLICT),
        (kv.KeyError(already_exist=kv.AlreadyExist(key=b"k")), Failure.EXISTS),
        (kv.KeyError(deadlock=kv.Deadlock(lock_ts=1)), Failure.LOCKED),
        (kv.KeyError(txn_lock_not_found=kv.TxnLockNotFound(key=b"k")), Failure.CONFLICT),
        (kv.KeyError(abort="Rollback"), Failure.CONFLICT),
        (kv.KeyError(abort="Error(KeyTooLarge { size: 73737, limit: 8192 })"), Failure.TOO_LARGE),
        (kv.KeyError(abort="something new"), Failure.UNDETERMINED),
    ],
)
def test_what_an_error_about_a_key_means(error: kv.KeyError, failure: Failure) -> None:
    verdict = judge([kv.KeyError(locked=kv.LockInfo(key=b"l")), error])
    assert verdict.failure is failure
    assert verdict.sentence


def test_locks_alone_can_be_waited_for() -> None:
    verdict = judge([kv.KeyError(locked=kv.LockInfo(key=b"l"))])
    assert ([lock.key for lock in verdict.locks], verdict.failure) == ([b"l"], None)
    assert Failure.UNDETERMINED not in NOT_WRITTEN


def test_an_answer_of_the_oracle_names_the_last_timestamp() -> None:
    assert spread(pd.Timestamp(physical=2, logical=9), 3) == [(2 << 18) + number for number in (7, 8, 9)]
    assert spread(pd.Timestamp(physical=2, logical=40, suffix_bits=2), 3) == [(2 << 18) + n for n in (32, 36, 40)]
