"""One history from its first line to its verdict, with the smallest counterexample of the first anomaly."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from brainctl.check.checker import Checker, Verdict
from brainctl.check.line import Header, InvalidHistory, Line
from brainctl.check.shrink import Counterexample, shrink
from brainctl.errors import InvalidInput

AROUND = 4096
"""Number of lines before an anomaly that are searched for a small counterexample."""


class Finding(NamedTuple):
    """Report about a history."""

    verdict: Verdict
    counterexample: Counterexample | None
    """None when nothing was found, or nothing small shows it."""


def examine(header: Header, lines: Iterable[Line], on_progress: Callable[[int], None] = lambda _done: None) -> Finding:
    """Check a history line by line.

    Args:
        header: Its first line.
        lines: The others.
        on_progress: Is called with the number of lines now and then.

    Raises:
        InvalidInput: A line is not as the format says.
    """
    checker = Checker(header)
    around: deque[Line] = deque(maxlen=AROUND)
    small: Counterexample | None = None
    number = 0
    feed, keep = checker.feed, around.append
    try:
        for number, line in enumerate(lines, 2):
            keep(line)
            feed(line)
            if not number & 0x3FFF:
                on_progress(number)
            if small is None and checker.found:
                small = _smallest(checker, header, around)
        verdict = checker.finish()
        if small is None and verdict.found:
            small = _smallest(checker, header, around)
    except (InvalidHistory, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = error if isinstance(error, InvalidHistory) else f"{type(error).__name__}: {error}"
        raise InvalidInput(f"line {number} of the history, or one before it, cannot be judged: {reason}") from error
    return Finding(verdict, small)


def _smallest(checker: Checker, header: Header, around: deque[Line]) -> Counterexample | None:
    return shrink(checker.anomalies[0], header, list(around), checker.judge.replay)
