"""Random small histories, right ones and damaged ones: the verdict is porcupine's, however the lines come in."""

import json
import subprocess
from random import Random
from typing import Any

import pytest

from brainctl.check.checker import Checker, Verdict, check
from tests.peers import require
from tests.support.histories import Line, damaged, history

HEADER: Any = {"brainctl_history": 1, "revision": 1, "exclusive": True}
HISTORIES = 300


def generated(seed: int) -> list[Line]:
    """A history of few operations, three of four of them damaged."""
    random = Random(seed)
    lines = history(random, random.randrange(5, 18), random.randrange(2, 6), random.choice((0, 0.1, 0.3)))
    return damaged(random, lines) if seed % 4 else lines


def with_marks(lines: list[Line], every: int) -> list[Line]:
    """The history with marks of the recorder: since when the oldest operation is open that comes later."""
    marked: list[Line] = []
    for number, line in enumerate(lines):
        if number % every == 0:
            marked.append({"op": "open", "since": min(later["called"] for later in lines[number:])})
        marked.append(line)
    return marked


def verdict_of(lines: list[Line]) -> Verdict:
    given: Any = lines
    return check(HEADER, given)


def test_the_verdict_is_that_of_porcupine() -> None:
    porcupine = require("porcupine-check")
    histories = [generated(seed) for seed in range(HISTORIES)]
    text = "".join(json.dumps(line) + "\n" for lines in histories for line in [HEADER, *lines])
    told = subprocess.run([porcupine], input=text, capture_output=True, text=True, timeout=240, check=True)
    theirs = told.stdout.split()
    ours = ["linearizable" if verdict_of(lines).holds else "illegal" for lines in histories]
    different = [
        seed for seed, pair in enumerate(zip(ours, theirs, strict=True)) if len(set(pair)) > 1 and pair[1] != "unknown"
    ]
    assert different == []
    assert 50 < ours.count("illegal") < HISTORIES - 50, "a control: both verdicts occur often"
    assert theirs.count("unknown") < 5


@pytest.mark.parametrize("every", [1, 3])
def test_marks_change_nothing_but_the_moment(every: int) -> None:
    for seed in range(HISTORIES):
        lines = generated(seed)
        whole, marked = verdict_of(lines), verdict_of(with_marks(lines, every))
        assert (whole.holds, whole.undecided) == (marked.holds, marked.undecided), seed


def test_what_is_kept_does_not_grow_with_the_history() -> None:
    lines = history(Random(1), 5000, clients=8, unknown=0)
    checker = Checker(HEADER)
    kept = []
    given: Any = with_marks(lines, 50)
    for line in given:
        checker.feed(line)
        if line["op"] == "open":
            kept.append(len(checker._waiting) + len(checker._recent))
    assert checker.finish().holds
    assert max(kept) < 200


def test_a_watch_of_the_prefix_tells_which_unknown_writes_have_happened() -> None:
    """Without it there are two to the power of the unknown writes ways in which it can have been."""
    lines: list[Line] = []
    seen: list[Line] = [{"op": "watch", "watch": 1, "client": 9, "endpoint": 0, "key": "\0", "end": "\0", "start": 2}]
    revision = 1
    for number in range(60):
        key = f"k{number}"
        lines.append({"op": "put", "client": number, "called": number * 10, "returned": None, "key": key, "value": key})
        if number % 2:
            revision += 1
            event = ["put", [key, revision, revision, 1, key, 0], None]
            seen.append({"op": "notify", "watch": 1, "rev": revision, "events": [event]})
    last: Line = {"op": "range", "client": 0, "called": 1000, "returned": 1001, "key": "k0", "kvs": [], "rev": revision}
    verdict = verdict_of([*lines, *seen, last])
    assert verdict.holds
    assert not verdict.undecided
    blind = verdict_of([*lines, last])
    assert blind.undecided.startswith("at revision ")
    assert not blind.holds


def test_a_member_that_was_started_anew_may_be_behind() -> None:
    put = {"op": "put", "client": 1, "endpoint": 0, "called": 0, "returned": 1, "key": "a", "value": "", "rev": 2}
    read = {"op": "range", "client": 2, "endpoint": 1, "key": "a", "serializable": True}
    newest: Line = read | {"called": 2, "returned": 3, "rev": 2, "kvs": [["a", 2, 2, 1, "", 0]]}
    older: Line = read | {"called": 9, "returned": 10, "rev": 1, "kvs": []}
    watch = {"op": "watch", "watch": 1, "client": 3, "endpoint": 1, "key": "a", "start": 2}
    end: Line = {"op": "notify", "watch": 1, "rev": 0, "canceled": True}
    assert [one.kind for one in verdict_of([put, watch, newest, end, older]).anomalies] == ["revision-went-back"]
    assert verdict_of([put, watch, newest, end | {"lost": True}, older]).holds


def test_leases_that_end_are_explained_by_their_time() -> None:
    second = 10**9
    lines: list[Line] = [{"op": "grant", "client": 1, "called": 0, "returned": second, "id": 7, "ttl": 2}]
    for number, key in enumerate("ab"):
        lines.append(
            {"op": "put", "client": 1, "called": second + number * 10, "returned": second + number * 10 + 5}
            | {"key": key, "value": "", "lease": 7, "rev": 2 + number}
        )
    gone = {"op": "range", "client": 2, "called": 9 * second, "returned": 9 * second + 1, "key": "a", "end": "z"}
    assert verdict_of([*lines, gone | {"kvs": [], "rev": 4}]).holds
    half: Line = gone | {"kvs": [["b", 3, 3, 1, "", 7]], "rev": 4}
    assert not verdict_of([*lines, half]).holds, "all keys of a lease go in one revision"


def test_the_replay_waits_for_a_watch_that_goes_on_after_an_outage() -> None:
    first: Line = {"op": "watch", "watch": 1, "client": 9, "endpoint": 0, "key": "\0", "end": "\0", "start": 2}
    lines: list[Line] = [first, {"op": "notify", "watch": 1, "rev": 0, "canceled": True}]
    lines += [{"op": "put", "client": n, "called": n, "returned": None, "key": f"k{n}", "value": ""} for n in range(20)]
    lines.append({"op": "range", "client": 0, "called": 90, "returned": 91, "key": "z", "kvs": [], "rev": 11})
    lines += [{"op": "open", "since": 100}, first | {"watch": 2}]
    events = [["put", [f"k{n}", 2 + n, 2 + n, 1, "", 0], None] for n in range(10)]
    assert verdict_of([*lines, {"op": "notify", "watch": 2, "rev": 11, "events": events}]).holds
    assert verdict_of(lines).undecided, "a control: nothing tells which ten they were"
