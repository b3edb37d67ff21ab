"""The replay of operations in the order of their revisions, and whether each fits: in its answer and in time."""

from collections.abc import Iterable, Sequence

from brainctl.check import blame
from brainctl.check.anomaly import Anomaly
from brainctl.check.leases import Leases
from brainctl.check.line import Line, Version
from brainctl.check.model import Outcome, agrees, evaluate, read
from brainctl.check.order import Order
from brainctl.check.replay import Replay
from brainctl.check.watches import Watches
from brainctl.check.worlds import Candidate, World, candidates, fits

WORLDS_MAX = 512
"""Number of ways that are followed in which operations of unknown outcome can have happened."""
REFUSED_MAX = 10_000
"""Number of refused writes that are remembered, to name one whose value is read all the same."""


class Judge:
    """Takes acknowledged operations by rank: twice the revision, and one more for those that only read."""

    def __init__(
        self, revision: int, kvs: Iterable[Version], leases: Leases, watches: Watches, *, exclusive: bool
    ) -> None:
        self.replay = Replay(revision, kvs)
        self.position = revision
        """The newest revision that was looked at; in front of the replay while there are several worlds."""
        self.undecided = ""
        """Reason for which nothing more is judged; empty until then."""
        self._worlds = [World(self.replay, Order())]
        self._leases = leases
        self._watches = watches
        self._exclusive = exclusive
        self._pending: dict[int, Line] = {}
        self._refused: dict[tuple[str, str], Line] = {}
        self._numbers = 0
        self._blamed: Line | None = None
        self._ended: dict[int, Line] = {}

    def may_have_been(self, line: Line) -> None:
        """Take a write of unknown outcome: it may take effect at any time after its call, or never."""
        self._pending[self._numbers] = line
        self._numbers += 1

    def refuse(self, line: Line) -> None:
        """Take an operation that was refused: it has no effect."""
        requests = line.get("success", []) if line["op"] == "txn" else [line]
        for request in requests:
            if request["op"] == "put" and len(self._refused) < REFUSED_MAX:
                self._refused[request["key"], request.get("value", "")] = line

    def wants_evidence(self) -> bool:
        """Return whether events of watches can tell what an unknown revision was."""
        return bool(self._pending or self._leases.due or len(self._worlds) > 1 or any(self.replay.attached.values()))

    def observe(self, rank: int, line: Line, known_by: Line | None) -> Sequence[Anomaly]:
        """Take an operation whose rank is not lower than those before, and return what is wrong with it.

        Args:
            rank: Its place in the order.
            line: The operation.
            known_by: An operation that returned before this one was called, if its rank is lower all the same.
        """
        revision, only_reads = rank >> 1, rank & 1
        found: list[Anomaly] = []
        if revision + only_reads <= self.position:
            return [blame.behind(line, known_by, self.replay.cause(revision), repeated=not only_reads)]
        if self.undecided:
            return ()
        if revision + only_reads > self.position + 1:
            found = self._gaps(revision - 1 + only_reads)
        if self._leases.due:
            found += self._revoked(revision)
        if len(self._worlds) > 1:
            return [*found, *self._among(line, revision, only_reads)]
        wrong = self._alone(line, revision, only_reads)
        return [*found, *wrong] if found else wrong

    def finish(self, newest: int, past: Sequence[Line] = ()) -> list[Anomaly]:
        """Choose a world that events and reads of the past do not contradict, and return what was open.

        Args:
            newest: The newest revision that anything else than an operation has shown.
            past: Reads that wait for the replay.
        """
        found = self._gaps(newest) if newest > self.position else []
        found += self._revoked(self.position + 1)
        if len(self._worlds) > 1:
            fitting = [world for world in self._worlds if self._was_so(world, past)]
            self._worlds = [(fitting or self._worlds)[0]]
            self._resolve()
        (world,) = self._worlds
        for lease in sorted(world.leases()):
            if keys := world.attached(lease):
                found += self._late(world, lease, keys)
        return found

    def look_back(self, line: Line) -> list[Anomaly] | None:
        """Check a read of the past; None when it lies before the window."""
        revision = line.get("at", 0) or line["rev"]
        if revision < self.replay.first:
            return None
        if revision > line["rev"]:
            return [blame.from_the_future(line)]
        outcome = Outcome((), [read(line, self.replay.at(revision))])
        if agrees(line, outcome):
            return []
        return [blame.disagreement(line, outcome, revision, self.replay, self._refused)]

    # -- one world

    def _alone(self, line: Line, revision: int, only_reads: int) -> Sequence[Anomaly]:
        """Take an operation while it is known what happened: the common case, written for speed."""
        world, replay, returned = self._worlds[0], self.replay, line["returned"]
        assert returned is not None
        op, outcome = line["op"], None
        if only_reads:
            late = world.order.read(line, line["called"], returned)
            if op == "range" and not line.get("end"):
                state, kvs = replay.state.get(line["key"]), line.get("kvs", _NO_KVS)
                plain = state is None if not kvs else tuple(kvs[0]) == state and len(kvs) == 1
            else:
                plain = False
            if not plain and not line.get("at"):
                outcome = evaluate(line, replay, revision)
        else:
            late = world.order.write(line, line["called"], returned)
            if op == "put" and not line.get("prev_kv"):
                replay.put(revision, line["key"], line.get("value", ""), line.get("lease", 0), line)
            else:
                outcome = evaluate(line, replay, revision)
                self._apply(line, revision, outcome)
            self.position = revision
        if outcome is None and late is None:
            return ()
        found = self._conflict(line, late)
        if outcome is not None and not agrees(line, outcome):
            found.append(blame.disagreement(line, outcome, revision, replay, self._refused))
        return found

    def _apply(self, line: Line, revision: int, outcome: Outcome) -> None:
        self.replay.apply(revision, outcome.changes, line)

    def _conflict(self, line: Line, late: Line | None) -> list[Anomaly]:
        """Return the contradiction in time, once for each operation that was called too late."""
        if late is None or late is self._blamed:
            return []
        self._blamed = late
        return [blame.conflict(line, late, self._leases)]

    # -- several worlds

    def _among(self, line: Line, revision: int, only_reads: int) -> list[Anomaly]:
        """Take an operation in every world, and keep those that it fits."""
        returned = line["returned"]
        assert returned is not None
        fitting: list[World] = []
        found: list[Anomaly] = []
        in_time: Line | None = None  # the better reason: in that world the answer is right, and only comes too early
        for world in self._worlds:
            take = world.order.read if only_reads else world.order.write
            late = take(line, line["called"], returned)
            outcome = evaluate(line, world, revision)
            right = bool(line.get("at")) or agrees(line, outcome)
            if late is None and right:
                fitting.append(world)
            elif late is not None and right:
                in_time = in_time or late
            elif not found:
                found = [blame.disagreement(line, outcome, revision, self.replay, self._refused)]
            if not only_reads:
                world.add(revision, outcome.changes, line)
        if not only_reads:
            self.position = revision
        if fitting:
            self._worlds = fitting
        self._resolve()
        if fitting:
            return []
        return self._conflict(line, in_time) if in_time is not None else found

    def _gaps(self, until: int) -> list[Anomaly]:
        """Find what has made the revisions up to `until`, which no acknowledged operation has made."""
        found: list[Anomaly] = []
        if not self._pending and not any(world.leases() for world in self._worlds):
            if self._exclusive:
                found.append(blame.unexplained(self.position + 1, until))
            self._pass(until)
            return found
        for revision in range(self.position + 1, until + 1):
            found += self._gap(revision)
            if self.undecided:
                break
        return found

    def _pass(self, revision: int) -> None:
        """Let somebody who is not in the history have made all revisions up to `revision`."""
        for world in self._worlds:
            world.add(revision, (), None)
            world.order.before, world.order.before_by = world.order.latest, world.order.latest_by
        self.position = revision
        self._resolve()

    def _gap(self, revision: int) -> list[Anomaly]:
        """Add every pending operation that may have made this revision, as a world of its own."""
        found = self._revoked(revision)
        seen, complete = self._watches.seen(revision), self._watches.shows_all(revision)
        if complete and not seen and not self._exclusive:
            self._pass(revision)
            return found
        possible = [
            (world, candidate)
            for world in self._worlds
            for candidate in candidates(world, revision, self._pending, self._leases, exclusive=self._exclusive)
        ]
        fitting = [one for one in possible if fits(one[1].changes, seen, complete=complete)] or possible
        if not fitting:
            self._pass(revision)
            return [*found, blame.unexplained(revision, revision)]
        return [*found, *self._fork(revision, fitting)]

    def _fork(self, revision: int, possible: Sequence[tuple[World, Candidate]]) -> list[Anomaly]:
        """Go on with every possibility that is possible in time, or with the first one."""
        forks: dict[tuple[object, ...], World] = {}
        wrong: list[tuple[World, Line, Line]] = []
        ended: list[Anomaly] = []
        for world, candidate in possible:
            fork, late = world.fork(revision, candidate)
            if late is not None and candidate.cause is not None:
                wrong.append((fork, candidate.cause, late))
                continue
            if len(possible) == 1 and candidate.cause is not None and candidate.cause["op"] == "expiry":
                ended = self._late(world, candidate.cause["id"], [new.key for new in candidate.changes])
            forks.setdefault(fork.signature(), fork)
        self.position = revision
        if not forks:
            fork, cause, late = wrong[0]
            forks[fork.signature()] = fork
            ended = self._conflict({**cause, "rev": revision}, late)
        self._worlds = [*forks.values()]
        if len(self._worlds) > WORLDS_MAX:
            self.undecided = (
                f"at revision {revision} there are more than {WORLDS_MAX} ways in which operations of unknown outcome "
                "can have happened: what comes later was not judged"
            )
            self._worlds = self._worlds[:1]
        self._resolve()
        return ended

    def _resolve(self) -> None:
        """Move what is certain into the replay, once there is one world."""
        if len(self._worlds) == 1:
            (world,) = self._worlds
            world.settle()
            self.replay.position = self.position
            for index in world.used:
                del self._pending[index]
            world.used = frozenset()

    def _was_so(self, world: World, past: Sequence[Line]) -> bool:
        """Return whether events and reads of the past fit a world."""
        for revision, changes, cause in world.log:
            seen = self._watches.seen(revision)
            if cause is not None and not fits(changes, seen, complete=self._watches.shows_all(revision)):
                return False
        return all(
            agrees(line, Outcome((), [read(line, world.past(line.get("at", 0) or line["rev"]))])) for line in past
        )

    # -- leases

    def _revoked(self, revision: int) -> list[Anomaly]:
        """Look at revokes that were acknowledged below `revision`: their keys must be gone."""
        found = []
        for lease, line in [*self._leases.due.items()]:
            if line["rev"] >= revision:
                continue
            del self._leases.due[lease]
            fitting = [world for world in self._worlds if not world.attached(lease)]
            if fitting:
                self._worlds = fitting
                self._resolve()
            else:
                world = self._worlds[0]
                found.append(blame.lease_kept(line, world.attached(lease), self.replay, revision))
        return found

    def _late(self, world: World, lease: int, keys: Sequence[str]) -> list[Anomaly]:
        """Look whether a lease has lived too long: keys of it were there when an operation was called long after."""
        known, by = self._leases.get(lease), world.order.latest_by
        if by is None or by["op"] == "expiry" or world.order.latest <= known.latest or known.renewed_by is None:
            return []
        return [blame.lease_late(lease, keys, known.renewed_by, by, self.position)]


_NO_KVS: list[list[str | int]] = []
