"""What `brainctl trace` shows: a bar per stage."""

from collections.abc import Mapping, Sequence

WIDTH = 40
"""Length of the longest bar, in characters."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def lines(microseconds: Mapping[str, float], about: Mapping[str, str]) -> Sequence[str]:
    """Return a line per stage, in order: name, microseconds, its share of the longest stage as a bar, what it is."""
    longest = max(microseconds.values(), default=0.0)
    return [
        f"{name:<8} {value:>9.1f} µs  {_bar(value / longest if longest > 0 else 0.0):<{WIDTH}}  {about[name]}"
        for name, value in microseconds.items()
    ]


def _bar(part: float) -> str:
    eighths = round(max(part, 0.0) * WIDTH * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
