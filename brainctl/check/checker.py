"""The verdict on a history, line by line, in memory that grows with what is open, not with the history.

Lines come in the order in which their operations returned. A mark says since when the oldest operation that is still
open was called; whatever comes later was called later. So all revisions that were known before the mark are complete,
and are replayed in their order; the rest waits. A history without marks is replayed at its end.
"""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from operator import itemgetter
from typing import NamedTuple

from brainctl.check.anomaly import Anomaly
from brainctl.check.judge import Judge
from brainctl.check.leases import Leases
from brainctl.check.line import KEYED, Header, InvalidHistory, Line, is_write, may_write, version_of
from brainctl.check.order import NEVER
from brainctl.check.others import Hashes, Holders
from brainctl.check.watches import Watches

FOUND_MAX = 100
"""Number of anomalies that are kept; the rest is only counted."""


class Verdict(NamedTuple):
    """Findings of a check: anomalies, and counts."""

    anomalies: Sequence[Anomaly]
    """The first of them, in the order in which they were noticed."""
    found: int
    """Number of all anomalies, kept or not."""
    operations: int
    unknown: int
    """Writes of unknown outcome."""
    events: int
    """Events that watches delivered."""
    not_checked: int
    """Reads and responses that look further back than the window of the replay."""
    undecided: str
    """Reason for which there is no verdict; empty when there is one."""
    revision: int
    """The newest revision that was replayed."""

    @property
    def holds(self) -> bool:
        """Return whether every promise was kept, as far as was checked."""
        return not self.found and not self.undecided


class Checker:
    """Takes the lines of a history one by one."""

    def __init__(self, header: Header) -> None:
        self.header = header
        prefix, revision = header.get("prefix", ""), header.get("revision", 1)
        self._leases = Leases()
        self._watches = Watches(prefix)
        kvs = [version_of(kv) for kv in header.get("kvs", ())]
        self._judge = Judge(revision, kvs, self._leases, self._watches, exclusive=header.get("exclusive", False))
        self._hashes, self._holders = Hashes(), Holders()
        self._waiting: list[tuple[int, Line]] = []
        """Operations with exact revisions by their rank: twice the revision, and one more for reads."""
        self._recent: list[Line] = []
        """Linearizable operations that may have returned after the last mark."""
        self._settled = 0
        """The newest revision that was known before the last mark."""
        self._settled_by: Line | None = None
        self._past: list[tuple[int, int, Line]] = []
        """Reads of revisions that the replay may not have reached: a heap by revision."""
        self._number = count()
        self._told: dict[tuple[int, int], Line] = {}
        """The last answer of each client from each endpoint."""
        self._anomalies: list[Anomaly] = []
        self._found = self._operations = self._unknown = self._events = self._not_checked = 0
        self._closed = False

    def feed(self, line: Line) -> None:
        """Take the next line.

        Raises:
            InvalidHistory: It has no known operation.
        """
        op = line["op"]
        if op in KEYED:
            self._operations += 1
            if line.get("returned") is not None and "error" not in line:
                self._answered(line)
            else:
                self._unanswered(line)
        elif op == "open":
            self._mark(line["since"])
        elif op in ("notify", "watch"):
            self._events += len(line.get("events", ()))
            self._report(self._watches.observe(line))
            if line.get("lost"):
                self._forget(self._watches.endpoint(line["watch"]))
        elif op in ("grant", "keepalive", "revoke"):
            self._operations += 1
            self._leases.observe(line)
            self._unknown += op == "revoke" and line.get("returned") is None
        elif op == "hash":
            self._report(self._hashes.observe(line))
        elif op == "hold":
            self._report(self._holders.observe(line))
        elif op == "compact":
            self._operations += 1
        else:
            raise InvalidHistory(f"there is no operation {op!r}")

    def finish(self) -> Verdict:
        """Replay what is left, and return the verdict."""
        if not self._closed:
            self._closed = True
            self._drain(NEVER)
            past = [line for _, _, line in self._past]
            newest = max([self._watches.newest(), *(line["rev"] for line in past)])
            self._report(self._judge.finish(newest, past))
            self._settle()
            self._not_checked += len(self._past) + self._watches.not_checked
        return Verdict(
            self._anomalies,
            self._found,
            self._operations,
            self._unknown,
            self._events,
            self._not_checked,
            self._judge.undecided,
            self._judge.position,
        )

    @property
    def judge(self) -> Judge:
        """Return what replays: for a report on the keys at some revision."""
        return self._judge

    @property
    def anomalies(self) -> Sequence[Anomaly]:
        """Return the first anomalies so far."""
        return self._anomalies

    @property
    def found(self) -> int:
        """Return how many anomalies there are so far."""
        return self._found

    def _answered(self, line: Line) -> None:
        revision = line["rev"]
        at = line.get("at", 0)
        if line["op"] == "range" and (at or line.get("serializable")):
            heappush(self._past, (at or revision, next(self._number), line))
            if not at:
                self._report(self._went_back(line))
            if line.get("serializable"):
                return
        self._recent.append(line)
        self._waiting.append((2 * revision + (not is_write(line)), line))

    def _unanswered(self, line: Line) -> None:
        if "error" in line:
            self._judge.refuse(line)
        elif may_write(line):
            self._unknown += 1
            self._judge.may_have_been(line)

    def _went_back(self, line: Line) -> Iterator[Anomaly]:
        """Compare the revision of a serializable read with what the same client got from the same endpoint before."""
        place = line["client"], line.get("endpoint", 0)
        before = self._told.get(place)
        returned = before.get("returned") if before else None
        if before and returned is not None and returned < line["called"] and line["rev"] < before["rev"]:
            text = (
                f"client {line['client']} was told revision {line['rev']} by endpoint {place[1]} "
                f"after it had been told {before['rev']}"
            )
            yield Anomaly("revision-went-back", text, (before, line), line["rev"])
        else:
            self._told[place] = line

    def _forget(self, endpoint: int) -> None:
        """Compare nothing with what an endpoint has told before: it may have been started anew, behind the others."""
        for place in [place for place in self._told if place[1] == endpoint]:
            del self._told[place]

    def _mark(self, since: int) -> None:
        """Replay all revisions that were known before `since`."""
        kept: list[Line] = []
        for line in self._recent:
            returned = line.get("returned")
            if returned is None or returned >= since:
                kept.append(line)
            elif line["rev"] > self._settled:
                self._settled, self._settled_by = line["rev"], line
        self._recent = kept
        limit = self._settled
        if self._judge.wants_evidence() and (reached := self._watches.reached()) is not None:
            limit = min(limit, reached)
        self._drain(2 * limit + 1)
        self._settle()

    def _drain(self, limit: int) -> None:
        waiting = self._waiting
        waiting.sort(key=itemgetter(0))
        taken = 0
        observe = self._judge.observe
        for rank, line in waiting:
            if rank > limit:
                break
            taken += 1
            if found := observe(rank, line, self._settled_by):
                self._report(found)
        del waiting[:taken]

    def _settle(self) -> None:
        """Check what waited for the replay: reads of the past, and watches."""
        replay = self._judge.replay
        while self._past and self._past[0][0] <= replay.position:
            _, _, line = heappop(self._past)
            found = self._judge.look_back(line)
            if found is None:
                self._not_checked += 1
            else:
                self._report(found)
        self._report(self._watches.settle(replay))

    def _report(self, found: Iterator[Anomaly] | Sequence[Anomaly]) -> None:
        for anomaly in found:
            self._found += 1
            if len(self._anomalies) < FOUND_MAX:
                self._anomalies.append(anomaly)


def check(header: Header, lines: Sequence[Line] | Iterator[Line]) -> Verdict:
    """Return the verdict on a whole history."""
    checker = Checker(header)
    for line in lines:
        checker.feed(line)
    return checker.finish()
