"""A long answer of a store of this process in parts of bounded bytes."""

from collections.abc import AsyncIterator

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.ranges import has_filters, is_unsorted
from brainctl.stores.store import Store

PART_BYTES = 1 << 20
"""The most bytes of a part, unless it has one key."""
PART_KEYS = 4_000
"""The most keys of a part."""


def comes_in_parts(store: Store, request: pb.RangeRequest) -> bool:
    """Return whether `parts` can answer a request: a range in key order, of a store of this process."""
    ordered = is_unsorted(request) and not has_filters(request)
    is_range = bool(request.key and request.range_end) and not request.count_only
    return store.in_process is not None and ordered and is_range


async def parts(store: Store, request: pb.RangeRequest) -> AsyncIterator[pb.RangeResponse]:
    """Yield the answer to a request in parts of bounded size, all of one revision.

    The request must be one for which `comes_in_parts` returns True.
    """
    local = store.in_process
    assert local is not None
    asked, left = pb.RangeRequest(), request.limit or 1 << 62
    asked.CopyFrom(request)
    while True:
        asked.limit = min(left, PART_KEYS)
        page = await local.page(asked, PART_BYTES)
        yield page
        left -= len(page.kvs)
        if not page.more or not left:
            return
        asked.key = page.kvs[-1].key + b"\0"
        asked.revision = asked.revision or page.header.revision
