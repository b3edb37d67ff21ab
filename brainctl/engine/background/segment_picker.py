"""Choose the segment to reclaim next: a decision on numbers alone, apart from carrying it out."""

from collections.abc import Sequence
from typing import NamedTuple

from brainctl.engine.format.segment_header import DATA


class Candidate(NamedTuple):
    """A sealed segment. Lists of them begin with the oldest."""

    number: int
    used: int
    """Bytes of its file."""
    kept: int
    """Bytes of records that would have to be written again."""
    dead: int
    """Bytes of records that could be removed."""
    packed: bool
    """Whether it has been rewritten before, so that only dead records can be saved."""
    leased: int = 0
    """Bytes of the records to be kept that are attached to a lease."""


_PATIENCE = 8
"""Segments of log for which one whose keys are likely to die together is left alone."""


def pick(candidates: Sequence[Candidate], ratio: float) -> int | None:
    """Return the number of the segment whose rewriting is worth most; None when none is worth it.

    One with nothing to keep costs no writing and comes first. Of the others, those with at least `ratio` of dead bytes
    compete by the bytes that they free for each byte written, weighted by age: what is dead in an old segment stays
    alone, while a young one may have more to give soon (Rosenblum and Ousterhout 1992, section 3.6).

    A young segment most of whose keys are attached to a lease is left alone: they were written together and expire
    together, and then the segment costs nothing.
    """
    best, best_value = None, 0.0
    for age, candidate in enumerate(reversed(candidates), 1):
        if not candidate.kept:
            best, best_value = candidate.number, float("inf")
        elif candidate.leased * 2 > candidate.kept and age <= _PATIENCE:
            continue
        elif candidate.dead >= max(ratio * (candidate.dead + candidate.kept), DATA):
            value = age * candidate.dead / (candidate.kept + DATA)
            if value >= best_value:
                best, best_value = candidate.number, value
    return best


def pick_any(candidates: Sequence[Candidate]) -> int | None:
    """Return the oldest segment that would get smaller at all, None without one.

    It is for a run that is to leave nothing dead behind.
    """
    for candidate in candidates:
        overhead = candidate.used - DATA - candidate.kept
        if candidate.dead or (not candidate.packed and overhead > max(DATA, candidate.kept // 10)):
            return candidate.number
    return None
