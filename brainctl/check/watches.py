"""The promises of watches, each against the log of the replay.

Order, uniqueness, atomicity, bookmarks and filters are looked at when a response comes. Whether it lacks or invents an
event is looked at once the replay has reached its revision, whenever that is: an event may come before the answer to
the write that caused it, and never says when that took effect.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from brainctl.check.anomaly import Anomaly, quoted, shown, who
from brainctl.check.line import InvalidHistory, KvFields, Line, Version, version_of
from brainctl.check.model import covers, same
from brainctl.check.replay import Change, Replay

REMEMBERED = 128
"""Number of events of a watch that are remembered, to tell an event that comes twice from one that comes too late."""


class Event(NamedTuple):
    """One event of a watch."""

    version: Version
    prev: Version | None


class Response(NamedTuple):
    """Events of a watch up to a revision, waiting for the replay."""

    until: int
    events: Sequence[Event]
    line: Line


class Told(NamedTuple):
    """The newest revision that the watches of an endpoint have been told."""

    revision: int
    lines: Sequence[Line]
    """The creation of the watch, and the response."""


class Watch:
    """One watch, from its creation to its end."""

    def __init__(self, line: Line, prefix: str, told: Told) -> None:
        self.line = line
        self.first = line.get("start", 0)
        """The first revision that it may deliver."""
        self._told = told
        """The newest revision of the endpoint before this watch was requested."""
        self._may_begin_earlier = False
        """True until the first event of a watch from now on: it may have begun before the revision of its creation."""
        self.at = self.checked = self.first - 1
        """The newest revision that it has reported as reached, and the newest that was compared with the log."""
        self.is_open = True
        self.waiting: deque[Response] = deque()
        self._filters = frozenset(line.get("filters", ()))
        end, past = line.get("end", ""), _end_of(prefix)
        reaches = end == "\0" or (past != "\0" and end >= past)
        self.is_whole = line["key"] <= (prefix or "\0") and reaches and not self._filters
        """Whether it shows every change below the prefix of the history."""
        self._end = -1
        """The newest revision with events in earlier responses."""
        self._seen: deque[tuple[int, str]] = deque(maxlen=REMEMBERED)
        self._bookmark = -1

    def observe(self, line: Line) -> Iterator[Anomaly]:
        """Take a response, and yield what is wrong with it by itself."""
        if line.get("created") and not self.first:
            self._begin(line["rev"] + 1)
            self._may_begin_earlier = True
        if line.get("canceled"):
            self.is_open = False
        events = [_event(fields) for fields in line.get("events", ())]
        if self._may_begin_earlier and events:
            self._may_begin_earlier = False
            # etcd 3.7 reads the revision of the response after the watch has begun (api/v3rpc/watch.go, recvLoop), so
            # a change between the two has an event, though it is not newer than that revision.
            if (first := max(self._told.revision + 1, events[0].version.mod)) < self.first:
                self._begin(first)
        for event in events:
            yield from self._one(event.version, line)
        if events:
            self._end = self.at
            self.waiting.append(Response(self.at, events, line))
        if line.get("progress"):
            self._bookmark = max(self._bookmark, line["rev"])
            if line["rev"] > self.at:
                self.at = line["rev"]
                self.waiting.append(Response(self.at, (), line))

    def _begin(self, revision: int) -> None:
        """Take a revision as the first that the watch delivers."""
        self.first = revision
        self.at = self.checked = revision - 1

    def settle(self, replay: Replay) -> Iterator[Anomaly | None]:
        """Compare what the replay has reached, and yield what is wrong; None for what is older than its window."""
        while self.waiting and self.waiting[0].until <= replay.position:
            response = self.waiting.popleft()
            after, self.checked = self.checked, max(self.checked, response.until)
            known = response
            if after < replay.first:
                known = response._replace(events=[one for one in response.events if one.version.mod > replay.first])
                if replay.first > replay.base or len(known.events) < len(response.events):
                    yield None
            expected = [change for change in replay.changes(after, response.until) if self._wants(change.new)]
            if not self._same(known.events, expected):
                yield self._difference(known, expected, replay)

    def wants_key(self, key: str) -> bool:
        """Return whether the watch asked for a key."""
        return covers(self.line["key"], self.line.get("end", ""), key)

    def _wants(self, new: Version) -> bool:
        return self.wants_key(new.key) and ("noput" if new.version else "nodelete") not in self._filters

    def _one(self, version: Version, line: Line) -> Iterator[Anomaly]:
        """Look at the place of one event, and move on to its revision."""
        mod, place = version.mod, (version.mod, version.key)
        if not self._wants(version) or mod < self.first:
            text = f"an event of {quoted(version.key)} at revision {mod}, which it had not asked for"
            told = self._told.lines if mod <= self._told.revision and not self.line.get("start") else ()
            yield self._wrong("watch-filter", text, mod, *told, line)
        elif mod <= self._bookmark:
            text = f"an event of revision {mod} after it had reported revision {self._bookmark} as reached"
            yield self._wrong("watch-bookmark", text, mod, line)
        elif mod < self.at or (mod == self.at and place in self._seen):
            yield self._late(place, line)
        elif mod == self._end:
            yield self._wrong("watch-split", f"revision {mod} in two responses", mod, line)
        self.at = max(self.at, mod)
        self._seen.append(place)

    def _late(self, place: tuple[int, str], line: Line) -> Anomaly:
        mod, key = place
        if place in self._seen:
            return self._wrong("watch-duplicate", f"the event of {quoted(key)} at revision {mod} twice", mod, line)
        text = f"the event of {quoted(key)} at revision {mod} after one of revision {self.at}"
        return self._wrong("watch-order", text, mod, line)

    def _same(self, events: Sequence[Event], expected: Sequence[Change]) -> bool:
        if len(events) != len(expected):
            return False
        if any(not same(event.version, change.new) for event, change in zip(events, expected, strict=True)):
            return False
        if not self.line.get("prev_kv"):
            return all(event.prev is None for event in events)
        return all(same(event.prev, change.old) for event, change in zip(events, expected, strict=True))

    def _difference(self, response: Response, expected: Sequence[Change], replay: Replay) -> Anomaly | None:
        """Return the first difference between a response and the log."""
        got = {(event.version.mod, event.version.key): event for event in response.events}
        for change in expected:
            new = change.new
            event = got.pop((new.mod, new.key), None)
            if event is None:
                text = f"no event of {quoted(new.key)} at revision {new.mod}, but reached {response.until}"
                return self._wrong("watch-lost-event", text, new.mod, response.line, replay.cause(new.mod))
            if not same(event.version, new):
                right_data = same(Version(*new[:4], *event.version[4:]), new)
                kind = "watch-is-create" if right_data else "watch-wrong-event"
                text = f"{quoted(new.key)} at revision {new.mod} as {shown(event.version)} instead of {shown(new)}"
                return self._wrong(kind, text, new.mod, response.line, replay.cause(new.mod))
            prev = change.old if self.line.get("prev_kv") else None
            if not same(event.prev, prev):
                text = (
                    f"{shown(event.prev)} as the version of {quoted(new.key)} before {new.mod} instead of {shown(prev)}"
                )
                return self._wrong("watch-prev-kv", text, new.mod, response.line, replay.cause(new.mod))
        for (mod, key), event in got.items():
            text = f"an event of {quoted(key)} at revision {mod} that no operation caused: {shown(event.version)}"
            return self._wrong("watch-unknown-event", text, mod, response.line)
        return None  # the same events in another order, which was said before

    def _wrong(self, kind: str, text: str, revision: int, *lines: Line | None) -> Anomaly:
        at = (
            f"{who(self.line)}, watch {self.line['watch']} of endpoint {self.line.get('endpoint', 0)}, delivered {text}"
        )
        return Anomaly(kind, at, (self.line, *(line for line in lines if line is not None)), revision)


class Watches:
    """All watches of a history."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._all: dict[int, Watch] = {}
        self._seen: dict[int, dict[str, Version]] = {}
        """The events above the replay, by revision and key."""
        self._told: dict[int, Told] = {}
        """The newest revision of each endpoint."""
        self._reached: int | None = None
        self.not_checked = 0
        """Responses that began before the window of the replay."""

    def observe(self, line: Line) -> Sequence[Anomaly]:
        """Take the creation of a watch or a response, and return what is wrong with it by itself."""
        if line["op"] == "watch":
            told = self._told.get(line.get("endpoint", 0), Told(0, ()))
            self._all[line["watch"]] = Watch(line, self._prefix, told)
            return ()
        watch = self._all.get(line["watch"])
        if watch is None:
            raise InvalidHistory(f"there is no watch {line['watch']}, or it has ended")
        found = [*watch.observe(line)]
        self._hear(watch.line, line)
        if watch.is_whole:
            self._reached = max(self._reached or 0, watch.at)
        for fields in line.get("events", ()):
            version = _event(fields).version
            self._seen.setdefault(version.mod, {})[version.key] = version
        return found

    def _hear(self, watch: Line, line: Line) -> None:
        endpoint = watch.get("endpoint", 0)
        if line.get("lost"):
            self._told.pop(endpoint, None)  # it may have been started anew, behind the others
        elif endpoint not in self._told or line["rev"] > self._told[endpoint].revision:
            self._told[endpoint] = Told(line["rev"], (watch, line))

    def endpoint(self, number: int) -> int:
        """Return the endpoint of a watch that has not been settled yet."""
        return self._all[number].line.get("endpoint", 0)

    def settle(self, replay: Replay) -> list[Anomaly]:
        """Compare all responses that the replay has reached with it; forget what it has passed."""
        found: list[Anomaly] = []
        for number, watch in [*self._all.items()]:
            for anomaly in watch.settle(replay):
                if anomaly is None:
                    self.not_checked += 1
                else:
                    found.append(anomaly)
            if not watch.is_open and not watch.waiting:
                del self._all[number]
        for revision in [revision for revision in self._seen if revision <= replay.position]:
            del self._seen[revision]
        return found

    def seen(self, revision: int) -> dict[str, Version]:
        """Return the events of a revision, by key, that any watch has delivered."""
        return self._seen.get(revision, {})

    def shows_all(self, revision: int) -> bool:
        """Return whether a watch of the whole prefix has passed a revision, so that `seen` is complete."""
        return any(watch.is_whole and watch.first <= revision <= watch.at for watch in self._all.values())

    def newest(self) -> int:
        """Return the newest revision that a response waits for."""
        return max((watch.waiting[-1].until for watch in self._all.values() if watch.waiting), default=0)

    def reached(self) -> int | None:
        """Return the newest revision that a watch of the whole prefix has reached; None if there never was one.

        Where the last one has ended, another may go on from there.
        """
        return self._reached


def _end_of(prefix: str) -> str:
    """Return the first name behind all that begin with `prefix`; a zero byte when there is none."""
    kept = prefix.rstrip("\xff")
    return kept[:-1] + chr(ord(kept[-1]) + 1) if kept else "\0"


def _event(fields: list[str | int | KvFields | None]) -> Event:
    _, version, prev = cast("tuple[str, KvFields, KvFields | None]", fields)
    return Event(version_of(version), version_of(prev) if prev else None)
