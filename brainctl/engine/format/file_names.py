"""The names of the files of a store, composed and parsed here only."""

import re
from typing import NamedTuple

_SEGMENT = re.compile(r"([0-9]{8,})-([0-9]+)\.seg")
_SEGMENT_END, _RUN_END, _SPARE_END = ".seg", ".run", ".spare"


class SegmentName(NamedTuple):
    """Parts of the name of a segment file."""

    number: int
    generation: int
    """0 for a log segment, one more each time it is packed."""


def segment_name(number: int, generation: int) -> str:
    """Return the name of the file that holds a generation of a segment."""
    return f"{number:08d}-{generation}{_SEGMENT_END}"


def run_name(number: int) -> str:
    """Return the name of the file of a run."""
    return f"{number:08d}{_RUN_END}"


def spare_name(number: int) -> str:
    """Return the name that the file of a dead segment has until it is used again."""
    return f"{number:08d}{_SPARE_END}"


def parse_segment(name: str) -> SegmentName | None:
    """Return what the name of a segment file says, None when it is not one."""
    match = _SEGMENT.fullmatch(name)
    return None if match is None else SegmentName(int(match[1]), int(match[2]))


def is_log_segment(name: str) -> bool:
    """Return whether a file with this name is a segment that reclaim has not packed."""
    segment = parse_segment(name)
    return segment is not None and segment.generation == 0


def is_segment(name: str) -> bool:
    """Return whether a file with this name counts as a segment, however its number is written."""
    return name.endswith(_SEGMENT_END)


def is_piece(name: str) -> bool:
    """Return whether a file with this name is a segment or a run."""
    return name.endswith((_SEGMENT_END, _RUN_END))


def is_spare(name: str) -> bool:
    """Return whether a file has the name of a spare one. An opening does not reuse it: its history is not known."""
    return name.endswith(_SPARE_END)
