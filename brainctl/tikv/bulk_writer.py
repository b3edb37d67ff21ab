"""Write in bulk: several transactions of some hundred keys in flight, none of which moves the head.

A base copy is made of them. Each can be repeated, because it writes the same bytes again, and none can happen after
another process has taken over (`Leadership.check_lane`).
"""

import asyncio
from collections.abc import Generator, Iterable
from functools import partial

from brainctl.tikv.commit_codec import Writes
from brainctl.tikv.key_codec import LANES
from brainctl.tikv.leadership import Leadership, until_written

CHUNK_KEYS = 400
"""Keys in one bulk transaction."""
CHUNK_BYTES = 1 << 20
"""Bytes of keys and values after which a bulk transaction takes no more of them."""


async def write_bulk(lead: Leadership, writes: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Write or delete (None) keys; on return all of it is durable.

    Raises:
        Fenced: another writer has taken over.
        TikvFailed: some of it may be durable.
    """
    await write_chunks(lead, chunked(writes))


async def write_chunks(lead: Leadership, chunks: Generator[Writes, None, None]) -> None:
    """Write pieces of the size of one transaction; on return all of them are durable. Raises the errors of
    `write_bulk`.
    """
    ends = await asyncio.gather(*(_lane(lead, number, chunks) for number in range(LANES)), return_exceptions=True)
    for end in ends:
        if end is not None:
            raise end


def chunked(writes: Iterable[tuple[bytes, bytes | None]]) -> Generator[Writes, None, None]:
    """Yield writes in pieces of the size of one transaction."""
    return chunked_groups({key: value} for key, value in writes)


def chunked_groups(groups: Iterable[Writes]) -> Generator[Writes, None, None]:
    """Yield groups of writes, none of which is divided, in pieces of the size of one transaction."""
    chunk: Writes = {}
    size = 0
    for group in groups:
        chunk.update(group)
        size += sum(len(key) + len(value or b"") for key, value in group.items())
        if len(chunk) >= CHUNK_KEYS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = {}, 0
    if chunk:
        yield chunk


async def _lane(lead: Leadership, number: int, chunks: Generator[Writes, None, None]) -> None:
    """Write chunks one after the other until there are none; all lanes take theirs from the same generator."""
    for chunk in chunks:
        try:
            # The same bytes may be written twice, so it does not matter whether a failed attempt wrote them.
            await until_written(partial(_write_chunk, lead, number, chunk))
        except BaseException:
            # The other lanes finish the chunk that they are writing, and find no further one.
            chunks.close()
            raise


async def _write_chunk(lead: Leadership, number: int, chunk: Writes) -> None:
    transaction = await lead.check_lane(number)
    try:
        await lead.commit_lane(number, transaction, chunk)
    finally:
        await transaction.rollback()
