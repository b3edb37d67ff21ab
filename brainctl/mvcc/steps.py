"""Work that is done in steps, so that whoever runs it can serve others in between.

Whatever grows with the data (a list, a count at an old revision, a delete of a range) is a generator that yields after
each step what the step has cost, and returns its result. A step is bounded: it touches some hundred keys, and reads
about STEP_BYTES of values. A slice (`one_slice`) is what one turn of the event loop does of it.
"""

from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

from brainctl.mvcc.keyversion import KeyVersion

T = TypeVar("T")
Steps = Generator[int, None, T]
"""A generator that yields the cost of each step, in keys that were read, and returns the result."""

STEP_KEYS: Final = 512
"""Keys that one step touches, about."""
STEP_BYTES: Final = 1 << 20
"""Bytes of values that one step reads, about."""
SLICE_KEYS: Final = 1024
"""The most that one turn of the event loop spends on long work, in keys: about two milliseconds."""
_BYTES_PER_KEY: Final = STEP_BYTES // STEP_KEYS


def finish(steps: Steps[T]) -> T:
    """Do all of the work at once, and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result


class Slice(NamedTuple):
    """The outcome of one slice: its cost in keys, and the result when the work is done."""

    cost: int
    done: bool
    result: Any = None


def one_slice(steps: Steps[Any]) -> Slice:
    """Do one slice of some work; what the work raises is passed on."""
    spent = 0
    try:
        while spent < SLICE_KEYS:
            spent += next(steps)
    except StopIteration as stop:
        return Slice(spent, True, stop.value)
    return Slice(spent, False)


async def in_turns(steps: Steps[T], pause: Callable[[], Awaitable[None]]) -> T:
    """Do work in slices, and return its result; `pause` lets others go on between two of them."""
    while not (one := one_slice(steps)).done:
        await pause()
    result: T = one.result
    return result


def finished(answer: bytes | Steps[bytes]) -> bytes:
    """Return an answer that is ready, or do all steps and return their result."""
    return answer if isinstance(answer, bytes) else finish(answer)


def cost(versions: list[KeyVersion]) -> int:
    """Return the cost of having read some versions, as Steps yields it: their number, plus one per 2 KiB of values.

    It is at least 1.
    """
    return 1 + len(versions) + sum([len(version.kv) for version in versions]) // _BYTES_PER_KEY


def copied(size: int) -> Steps[None]:
    """End a slice after `size` bytes were copied in one go, when that has taken as long as some steps."""
    if size > STEP_BYTES:
        yield 2 * STEP_KEYS


def gather(
    stretches: Iterable[list[KeyVersion]], limit: int = 0, keep: Callable[[KeyVersion], bool] | None = None
) -> Steps[list[KeyVersion]]:
    """Return, in steps, the first `limit` (0: all) versions of consecutive lists, only those for which `keep` holds."""
    found: list[KeyVersion] = []
    for stretch in stretches:
        found += stretch if keep is None else filter(keep, stretch)
        if limit and len(found) >= limit:
            del found[limit:]
            break
        yield cost(stretch)
    return found


def in_pieces(items: list[T], size: int = STEP_KEYS) -> Iterator[list[T]]:
    """Yield the items of a list in lists of at most `size`."""
    for at in range(0, len(items), size):
        yield items[at : at + size]


def release(items: list[T]) -> Steps[None]:
    """Empty a list step by step: to free hundreds of thousands of objects takes as long as to make them."""
    while items:
        freed = min(len(items), 4 * STEP_KEYS)
        del items[-freed:]
        yield 1 + freed // 4
