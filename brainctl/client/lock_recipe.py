"""Locks and elections: each client puts a key under a common name, and the oldest key has the turn (etcd's recipe).

The keys are those of etcd's own clients, NAME/LEASE in hexadecimal, so that all of them wait for each other.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from brainctl.client.failure import CommandFailed
from brainctl.client.resumable_watch import resumed
from brainctl.errors import COMPACTED, ApiError
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.prefix import prefix_end
from brainctl.stores.store import Store


class Turn(NamedTuple):
    """A place in the queue."""

    prefix: bytes
    key: bytes
    revision: int
    """The create_revision of the key: it tells this place from a later one with the same name."""


class Place(NamedTuple):
    """The result of queueing up."""

    turn: Turn
    header: pb.ResponseHeader
    is_first: bool


async def queue_up(store: Store, name: bytes, lease: int, value: bytes) -> Place:
    """Put the key, attached to its lease.

    Raises:
        CommandFailed: The key exists already.
        BrainctlError: The store failed.
    """
    prefix = name + b"/"
    key = prefix + b"%x" % lease
    put = pb.RequestOp(request_put=pb.PutRequest(key=key, value=value, lease=lease))
    missing = pb.Compare(key=key, target=pb.Compare.CREATE, create_revision=0)
    request = pb.TxnRequest(compare=[missing], success=[put, pb.RequestOp(request_range=oldest(prefix))])
    answer = await store.txn(request)
    if not answer.succeeded:
        raise CommandFailed(f"the key {key!r} is there already")
    revision = answer.header.revision
    first = answer.responses[1].response_range.kvs[0].create_revision == revision
    return Place(Turn(prefix, key, revision), answer.header, first)


async def await_turn(store: Store, turn: Turn) -> None:
    """Wait until all older keys are gone.

    It watches only the next older one, so that a release wakes one waiter.
    """
    older = pb.RangeRequest(
        key=turn.prefix,
        range_end=prefix_end(turn.prefix),
        limit=1,
        sort_order=pb.RangeRequest.DESCEND,
        sort_target=pb.RangeRequest.CREATE,
        max_create_revision=turn.revision - 1,
    )
    while turn.revision > 1:
        found = await store.range(older)
        if not found.kvs:
            return
        watch = pb.WatchCreateRequest(key=found.kvs[0].key, start_revision=found.header.revision + 1)
        async with aclosing(events(store, watch)) as changes:
            async for _, event in changes:
                if event.type == kv_pb2.Event.DELETE:
                    break


async def leave(store: Store, turn: Turn) -> None:
    """Delete the key if it is still the one that was put; a later one with the same name is not touched."""
    mine = pb.Compare(key=turn.key, target=pb.Compare.CREATE, create_revision=turn.revision)
    deletion = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=turn.key))
    await store.txn(pb.TxnRequest(compare=[mine], success=[deletion]))


def oldest(prefix: bytes) -> pb.RangeRequest:
    """Return the request for the key that has the turn."""
    return pb.RangeRequest(
        key=prefix,
        range_end=prefix_end(prefix),
        limit=1,
        sort_order=pb.RangeRequest.ASCEND,
        sort_target=pb.RangeRequest.CREATE,
    )


async def events(
    store: Store, create: pb.WatchCreateRequest
) -> AsyncGenerator[tuple[pb.ResponseHeader, kv_pb2.Event], None]:
    """Yield the events of a watch; end when its history was compacted, so that the caller must read again.

    Raises:
        ApiError: The watch was refused or cancelled for another reason.
    """
    try:
        async with aclosing(resumed(store, create)) as responses:
            async for response in responses:
                for event in response.events:
                    yield response.header, event
    except ApiError as error:
        if error.status != COMPACTED:
            raise
