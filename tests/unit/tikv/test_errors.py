"""Each text that the client was seen to raise, and the classes of calls that raise them now."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tikv_client.asynchronous import Transaction, TransactionClient

from brainctl.errors import ConnectionFailed
from brainctl.tikv.client import open_client
from brainctl.tikv.client.package_texts import classify
from brainctl.tikv.errors import NOT_WRITTEN, Failure, TikvFailed
from tests.peers.ports import free_port
from tests.peers.servers import Playground

KEY_ERROR = 'Multiple key errors: [KeyError(KeyError { locked: None, retryable: "", abort: "", conflict: '
REGION = 'message: "raft entry is too large, region 10, entry size 9437253", not_leader: None, region_not_found: None'
RECORDED = [
    (
        KEY_ERROR + "Some(WriteConflict { start_ts: 47, conflict_ts: 46, key: [120], primary: [] }) })]",
        Failure.CONFLICT,
    ),
    (KEY_ERROR + "None, already_exist: Some(AlreadyExist { key: [120, 47, 104] }), deadlock: None })]", Failure.EXISTS),
    (
        f"Region error: Error {{ {REGION}, raft_entry_too_large: Some(RaftEntryTooLarge {{ region_id: 10 }}) }}",
        Failure.TOO_LARGE,
    ),
    ('KeyError { abort: "Error(KeyTooLarge { size: 73737, limit: 8192 })", conflict: None }', Failure.TOO_LARGE),
    ("Failed to resolve lock", Failure.LOCKED),
    ("PessimisticLock error: ResolveLockError([LockInfo { primary_lock: [120, 47, 104] }])", Failure.LOCKED),
    (
        'gRPC api error: status: OutOfRange, message: "Error, message length too large: found 6000078 bytes"',
        Failure.REPLY_TOO_LARGE,
    ),
    ('gRPC api error: status: Unavailable, message: "error trying to connect: tcp connect error"', Failure.UNAVAILABLE),
    ("[client-rust/src/pd/timestamp.rs:72]: TimestampRequest channel is closed", Failure.UNAVAILABLE),
    ("Leader of region 8 is not found", Failure.UNAVAILABLE),
    ("[client-rust/src/pd/cluster.rs:189]: PD cluster failed to respond", Failure.UNAVAILABLE),
    ('gRPC api error: status: Unknown, message: "h2 protocol error: broken pipe"', Failure.UNDETERMINED),
    ("Cannot read or write data after any attempt to commit or roll back the transaction", Failure.UNDETERMINED),
    ('KeyError { retryable: "", abort: "invalid marker byte", conflict: None }', Failure.UNDETERMINED),
    ("a text that nobody has seen", Failure.UNDETERMINED),
    ("", Failure.UNDETERMINED),
]


@pytest.mark.parametrize(("text", "failure"), RECORDED)
def test_recorded_texts(text: str, failure: Failure) -> None:
    assert classify(text) is failure


def test_only_refusals_of_the_first_phase_count_as_not_written() -> None:
    assert Failure.UNDETERMINED not in NOT_WRITTEN
    assert Failure.UNAVAILABLE not in NOT_WRITTEN


Provoke = Callable[[TransactionClient, bytes], Awaitable[object]]


async def commit(transaction: Transaction) -> None:
    try:
        await transaction.commit()
    except Exception:
        await transaction.rollback()
        raise


async def conflict(client: TransactionClient, key: bytes) -> None:
    one, other = await client.begin(), await client.begin()
    for transaction in (one, other):
        await transaction.put(key, b"v")
    await commit(one)
    await commit(other)


async def exists(client: TransactionClient, key: bytes) -> None:
    for _ in range(2):
        transaction = await client.begin()
        await transaction.insert(key, b"v")
        await commit(transaction)


async def too_large(client: TransactionClient, key: bytes) -> None:
    transaction = await client.begin()
    await transaction.put(key, bytes(9 << 20))
    await commit(transaction)


async def locked(client: TransactionClient, key: bytes) -> None:
    holder = await client.begin(pessimistic=True)
    await holder.get_for_update(key)
    transaction = await client.begin()
    await transaction.put(key, b"v")
    try:
        await commit(transaction)
    finally:
        await holder.rollback()


async def reply_too_large(client: TransactionClient, key: bytes) -> None:
    for number in range(5):
        transaction = await client.begin()
        await transaction.put(key + b"%d" % number, bytes(1 << 20))
        await commit(transaction)
    await client.snapshot(await client.current_timestamp(), False).scan(key, key + b"9", 100)


@pytest.mark.parametrize(
    ("provoke", "failure"),
    [
        (conflict, Failure.CONFLICT),
        (exists, Failure.EXISTS),
        (too_large, Failure.TOO_LARGE),
        (locked, Failure.LOCKED),
        (reply_too_large, Failure.REPLY_TOO_LARGE),
    ],
)
def test_real_errors(tikv: Playground, prefix: str, provoke: Provoke, failure: Failure) -> None:
    async def run() -> str:
        client = await TransactionClient.connect([tikv.endpoint])
        with pytest.raises(Exception, match=r".") as raised:
            await provoke(client, prefix.encode() + b"/x")
        await asyncio.sleep(0.2)
        return str(raised.value)

    assert classify(asyncio.run(run())) is failure


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brainctl.tikv.client.limits.PATIENCE", 0.1)
    with pytest.raises(ConnectionFailed) as refused:
        asyncio.run(open_client([f"127.0.0.1:{free_port()}"]).timestamp())
    assert isinstance(refused.value, TikvFailed)
    assert refused.value.failure is Failure.UNAVAILABLE
