"""Promises that need no replay: equal hashes of members, single holders of locks and elections."""

from collections.abc import Iterator

from brainctl.check.anomaly import Anomaly, quoted, who
from brainctl.check.line import Line


class Hashes:
    """The hashes that members gave of their data, by revision and compacted revision."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], Line] = {}
        self.compared = 0
        """Hashes of a second and further member."""

    def observe(self, line: Line) -> Iterator[Anomaly]:
        """Compare a hash with that of the first member; a compaction between them makes them incomparable."""
        place = line["at"], line.get("compact", 0)
        first = self._first.setdefault(place, line)
        if first is line:
            return
        self.compared += 1
        if first["hash"] != line["hash"]:
            text = (
                f"endpoint {line['endpoint']} has hash {line['hash']} at revision {line['at']}, "
                f"endpoint {first['endpoint']} has {first['hash']}"
            )
            yield Anomaly("hash-differs", text, (first, line), line["at"])


class Holders:
    """Holders of each lock and leaders of each election, with their first and last revisions."""

    def __init__(self) -> None:
        self._held: dict[str, list[Line]] = {}

    def observe(self, line: Line) -> Iterator[Anomaly]:
        """Take a tenure that has ended, and compare it with the others of the same name."""
        name, since = line["name"], line["since"]
        held = self._held.setdefault(name, [])
        for other in held:
            if _until(other) > since and _until(line) > other["since"]:
                text = (
                    f"{who(line)} held {quoted(name)} from revision {since}, while {who(other)} "
                    f"held it from {other['since']} until {_words(other)}"
                )
                yield Anomaly("two-holders", text, (other, line), since)
        held.append(line)
        if len(held) > _REMEMBERED:
            held.sort(key=lambda tenure: tenure["since"])
            del held[: _REMEMBERED // 2]


def _until(line: Line) -> int:
    """Return the revision at which a tenure has ended; where that is not known, it is its first one that counts."""
    until = line.get("until")
    return line["since"] + 1 if until is None else until


def _words(line: Line) -> str:
    until = line.get("until")
    return "an unknown revision" if until is None else f"revision {until}"


_REMEMBERED = 256
"""Number of tenures of a name that are kept: more than can be open at once."""
