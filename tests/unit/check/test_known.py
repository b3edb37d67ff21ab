"""Histories that break one promise each, beside the same history as it should be."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import pytest

from brainctl.check.anomaly import KINDS
from brainctl.check.checker import Verdict, check
from brainctl.check.draw import html, svg
from brainctl.check.examine import examine
from brainctl.errors import InvalidInput

Line = dict[str, Any]
HEADER: Any = {"brainctl_history": 1, "revision": 1, "prefix": "", "exclusive": True}
SECOND = 10**9


def op(kind: str, client: int, called: int, returned: int | None, **fields: Any) -> Line:
    return {"op": kind, "client": client, "endpoint": 0, "called": called, "returned": returned, **fields}


def put(client: int, called: int, returned: int | None, key: str, value: str, rev: int = 0, **more: Any) -> Line:
    line = op("put", client, called, returned, key=key, value=value, **more)
    return line if returned is None else {**line, "rev": rev}


def read(client: int, called: int, returned: int, key: str, rev: int, *kvs: list[Any], **more: Any) -> Line:
    return op("range", client, called, returned, key=key, kvs=[*kvs], count=len(kvs), rev=rev, **more)


def kv(key: str, create: int, mod: int, version: int, value: str, lease: int = 0) -> list[Any]:
    return [key, create, mod, version, value, lease]


def gone(key: str, mod: int) -> list[Any]:
    return [key, 0, mod, 0, "", 0]


def watch(**fields: Any) -> Line:
    return {"op": "watch", "watch": 1, "client": 9, "endpoint": 0, "key": "\0", "end": "\0", "start": 2, **fields}


def notify(rev: int, *events: list[Any], **fields: Any) -> Line:
    shaped = [
        ["put" if one[3] else "delete", one, None] if isinstance(one[0], str) else ["put", *one] for one in events
    ]
    return {"op": "notify", "watch": 1, "rev": rev, "time": rev * 100, "events": shaped, **fields}


A2, A3, B4 = kv("a", 2, 2, 1, "1"), kv("a", 2, 3, 2, "2"), kv("b", 4, 4, 1, "3")
WRITES = [put(1, 0, 10, "a", "1", 2), put(1, 20, 30, "a", "2", 3), put(1, 40, 50, "b", "3", 4)]
LEASE = op("grant", 1, 0, SECOND, id=7, ttl=5)
LEASED = [LEASE, put(1, SECOND, 2 * SECOND, "a", "1", 2, lease=7), put(1, 2 * SECOND, 3 * SECOND, "b", "1", 3, lease=7)]


class Case(NamedTuple):
    """A right history, what is done to it, and what must be said then."""

    kind: str
    right: list[Line]
    wrong: Callable[[list[Line]], object]
    words: str


def change(place: int, **fields: Any) -> Callable[[list[Line]], object]:
    return lambda lines: lines[place].update(fields)


def replace(*lines: Line, place: int = -1) -> Callable[[list[Line]], object]:
    return lambda old: old.__setitem__(slice(place, None), list(lines))


def hold(client: int, since: int, until: int) -> Line:
    return {"op": "hold", "client": client, "name": "lock", "key": "", "since": since, "until": until}


def hashed(endpoint: int, value: int) -> Line:
    return {"op": "hash", "endpoint": endpoint, "at": 4, "compact": 0, "hash": value}


CASES = [
    Case(
        "stale-read",
        [*WRITES, read(3, 60, 70, "a", 4, A3)],
        replace(read(3, 60, 70, "a", 2, A2)),
        'client 3 read revision 2 (read of "a") after client 1 was told 3',
    ),
    Case(
        "stale-read",
        [*WRITES, read(3, 60, 70, "a", 4, A3)],
        replace(read(3, 60, 70, "a", 4, A2)),
        'client 3 found "a" as "1" (mod 2, create 2, version 1) at revision 4',
    ),
    Case(
        "lost-write",
        [*WRITES, read(3, 60, 70, "b", 4, B4)],
        replace(read(3, 60, 70, "b", 4)),
        'client 3 found no "b" at revision 4 after client 1 was told 4',
    ),
    Case(
        "lost-write",
        [*WRITES, read(3, 60, 70, "a", 4, A3, at=3)],
        replace(read(3, 60, 70, "a", 4, at=3)),
        'client 3 found no "a" at revision 3',
    ),
    Case(
        "dirty-read",
        [*WRITES, op("put", 2, 51, 55, key="a", value="refused", error="etcdserver: no"), read(3, 60, 70, "a", 4, A3)],
        replace(read(3, 60, 70, "a", 4, kv("a", 2, 3, 2, "refused"))),
        "which was refused to client 2",
    ),
    Case(
        "dirty-read",
        [*WRITES, read(3, 60, 70, "a", 4, A3)],
        replace(read(3, 60, 70, "a", 4, kv("a", 2, 9, 9, "9"))),
        'found "a" as "9"',
    ),
    Case(
        "wrong-answer",
        [*WRITES, read(3, 60, 70, "a", 4, A3)],
        replace(read(3, 60, 70, "a", 4, kv("a", 2, 3, 2, "other"))),
        'instead of "2"',
    ),
    Case(
        "wrong-answer",
        [*WRITES, op("delete", 3, 60, 70, key="a", end="z", deleted=2, rev=5)],
        change(-1, deleted=1),
        "deleted 1 keys, and there were 2",
    ),
    Case(
        "wrong-answer",
        [
            *WRITES,
            op(
                "txn",
                3,
                60,
                70,
                compare=[{"key": "a", "target": "mod", "relation": "=", "value": 3}],
                success=[{"op": "put", "key": "a", "value": "4"}],
                failure=[],
                succeeded=True,
                responses=[{}],
                rev=5,
            ),
        ],
        change(-1, succeeded=False, responses=[], rev=4),
        "took the wrong branch",
    ),
    Case("revision-reused", WRITES, change(2, rev=3), "one revision for two writes"),
    Case(
        "revision-went-back",
        WRITES,
        lambda lines: (lines[1].update(rev=4), lines[2].update(rev=3)),
        'client 1 got revision 3 for its put "b"="3" after client 1 was told 4',
    ),
    Case(
        "revision-went-back",
        [*WRITES, *(read(3, at, at + 5, "a", 4, A3, serializable=True) for at in (60, 70))],
        change(-1, rev=3),
        "client 3 was told revision 3 by endpoint 0 after it had been told 4",
    ),
    Case("unexplained-revision", WRITES, change(2, rev=5), "no operation of the history can have made revision 4"),
    Case(
        "lease-early",
        [*LEASED, read(3, 7 * SECOND, 8 * SECOND, "a", 4), put(1, 9 * SECOND, 10 * SECOND, "c", "", 5)],
        change(-2, called=3 * SECOND, returned=4 * SECOND),
        "lease 7 had ended before client 3 was told 4",
    ),
    Case(
        "lease-late",
        [*LEASED, read(3, 9 * SECOND, 10 * SECOND, "a", 3, kv("a", 2, 2, 1, "1", 7))],
        change(-1, called=60 * SECOND, returned=61 * SECOND),
        'lease 7 of 5 s still had "a" 59.0 s after its renewal by client 1',
    ),
    Case(
        "lease-kept",
        [*LEASED, op("revoke", 2, 3 * SECOND, 4 * SECOND, id=7, rev=4), read(3, 4 * SECOND, 5 * SECOND, "a", 4)],
        replace(
            op("revoke", 2, 3 * SECOND, 4 * SECOND, id=7, rev=3),
            read(3, 4 * SECOND, 5 * SECOND, "a", 3, kv("a", 2, 2, 1, "1", 7)),
            put(3, 6 * SECOND, 7 * SECOND, "c", "1", 4),
            place=-2,
        ),
        "client 2 had revoked lease 7 by revision 3, and its keys are there",
    ),
    Case("watch-filter", [*WRITES, watch(key="a", end=""), notify(3, A2, A3)], change(3, key="b"), "had not asked for"),
    Case("watch-filter", [*WRITES, watch(), notify(4, A2, A3, B4)], change(3, start=3), "had not asked for"),
    Case(  # told 3 before it asks for what comes from now on
        "watch-filter",
        [
            *(*WRITES, watch(), notify(3, A2, A3)),
            *(watch(start=0, watch=2), notify(3, created=True, watch=2), notify(4, B4, watch=2), notify(4, B4)),
        ],
        replace(notify(4, A3, B4, watch=2), notify(4, B4), place=-2),
        "had not asked for",
    ),
    Case(
        "watch-order",
        [*WRITES, watch(), notify(4, A2, A3, B4)],
        replace(notify(4, A3, A2, B4)),
        "after one of revision 3",
    ),
    Case("watch-duplicate", [*WRITES, watch(), notify(4, A2, A3, B4)], replace(notify(4, A2, A3, A3, B4)), "twice"),
    Case(
        "watch-duplicate",
        [*WRITES, watch(), notify(3, A2, A3), notify(4, B4)],
        replace(notify(4, A3, B4)),
        'the event of "a" at revision 3 twice',
    ),
    Case(
        "watch-split",
        [
            op("delete", 1, 0, 10, key="a", end="z", deleted=2, rev=2),
            watch(),
            notify(2, gone("a", 2), gone("b", 2)),
        ],
        replace(notify(2, gone("a", 2)), notify(2, gone("b", 2))),
        "revision 2 in two responses",
    ),
    Case("watch-lost-event", [*WRITES, watch(), notify(4, A2, A3, B4)], replace(notify(4, A2, B4)), 'no event of "a"'),
    Case(
        "watch-lost-event",
        [*WRITES, watch(start=0), notify(1, created=True), notify(4, A2, A3, B4), notify(4, progress=True)],
        replace(notify(3, A2, A3), notify(4, progress=True), place=-2),
        "at revision 4, but reached 4",
    ),
    Case(
        "watch-wrong-event",
        [*WRITES, watch(), notify(4, A2, A3, B4)],
        replace(notify(4, A2, kv("a", 2, 3, 2, "x"), B4)),
        'as "x"',
    ),
    Case(
        "watch-is-create",
        [*WRITES, watch(), notify(4, A2, A3, B4)],
        replace(notify(4, A2, kv("a", 3, 3, 1, "2"), B4)),
        "create 3, version 1",
    ),
    Case(
        "watch-unknown-event",
        [*WRITES, watch(), notify(4, A2, A3, B4)],
        replace(notify(4, A2, A3, kv("z", 4, 4, 1, ""), B4)),
        'an event of "z" at revision 4 that no operation caused',
    ),
    Case(
        "watch-bookmark",
        [*WRITES, watch(), notify(3, A2, A3), notify(3, progress=True), notify(4, B4)],
        replace(notify(4, progress=True), notify(4, B4), place=-2),
        "after it had reported revision 4 as reached",
    ),
    Case(
        "watch-prev-kv",
        [*WRITES, watch(prev_kv=True), notify(4, [A2, None], [A3, A2], [B4, None])],
        replace(notify(4, [A2, None], [A3, None], [B4, None])),
        'nothing as the version of "a" before 3',
    ),
    Case("two-holders", [hold(1, 2, 5), hold(2, 5, 7)], change(1, since=4), 'client 2 held "lock" from revision 4'),
    Case("hash-differs", [hashed(0, 1), hashed(1, 1)], change(1, hash=2), "endpoint 1 has hash 2 at revision 4"),
]


def verdict_of(lines: list[Line]) -> Verdict:
    header = dict(HEADER)
    if lines[0]["op"] == "delete":
        header |= {"kvs": [kv("a", 1, 1, 1, ""), kv("b", 1, 1, 1, "")]}
    given: Any = lines
    return check(header, given)  # type: ignore[arg-type]


def planted(case: Case) -> list[Line]:
    lines = deepcopy(case.right)
    case.wrong(lines)
    return lines


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_control_the_right_history_passes(case: Case) -> None:
    verdict = verdict_of(case.right)
    assert verdict.holds, verdict.anomalies
    assert not verdict.not_checked


def test_a_watch_from_now_on_may_deliver_what_changed_while_it_was_created() -> None:
    asked = [*WRITES, watch(start=0), notify(4, created=True)]
    whole = verdict_of([*asked, notify(4, A3, B4)])
    assert whole.holds, whole.anomalies
    control = verdict_of([*asked, notify(3, A2), notify(4, B4)])
    assert [anomaly.kind for anomaly in control.anomalies] == ["watch-lost-event"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_a_broken_promise_is_named(case: Case) -> None:
    verdict = verdict_of(planted(case))
    assert case.kind in [anomaly.kind for anomaly in verdict.anomalies], verdict.anomalies
    assert any(case.words in anomaly.text for anomaly in verdict.anomalies), verdict.anomalies


def test_every_kind_has_a_case() -> None:
    assert {case.kind for case in CASES} | {"not-linearizable"} == set(KINDS)  # that one: test_readers.py


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.kind != "unexplained-revision"], ids=lambda case: case.kind
)
def test_the_counterexample_is_small_and_shows_the_same(case: Case) -> None:
    lines: Any = planted(case)
    header: Any = dict(HEADER) | (
        {"kvs": [kv("a", 1, 1, 1, ""), kv("b", 1, 1, 1, "")]} if case.kind == "watch-split" else {}
    )
    finding = examine(header, lines)
    small = finding.counterexample
    assert small is not None, finding.verdict.anomalies
    assert len(small.lines) <= 5
    again = check(small.header, small.lines)
    picture = ET.fromstring(svg(small))
    bars = picture.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) == len(small.lines)
    assert any("x" in str(bar.get("class")).split() for bar in bars), "what contradicts is marked"
    assert html(small).count("<svg") == 1
    assert "http" not in html(small).replace("http://www.w3.org/2000/svg", ""), "the page needs no other file"
    assert small.anomaly.kind == finding.verdict.anomalies[0].kind
    assert small.anomaly.kind in [anomaly.kind for anomaly in again.anomalies]


def test_a_line_that_cannot_be_judged_is_bad_input_and_no_verdict() -> None:
    lines: Any = [put(1, 0, 10, "a", "1", 2), read(1, 20, 30, "a", 2, ["a"])]
    lines[1]["kvs"] = 5
    with pytest.raises(InvalidInput, match="line 3 of the history, or one before it, cannot be judged"):
        examine(HEADER, lines)
