"""The newest revision of a backend, for reads that go on in several steps at one revision."""

import asyncio

from brainctl.errors import BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.backend import Backend


async def fresh_revision(backend: Backend, key: bytes, revision: int) -> int:
    """Return the newest revision, by a read of `key` that sees all writes acknowledged before.

    Raises:
        ApiError: `revision`, at which it reads, is compacted or in the future.
    """
    read: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def settle(answer: bytes | BrainctlError) -> None:
        if read.done():
            return
        if isinstance(answer, BrainctlError):
            read.set_exception(answer)
        else:
            read.set_result(answer)

    backend.range(pb.RangeRequest(key=key, revision=revision, count_only=True), settle)
    return pb.RangeResponse.FromString(await read).header.revision
