"""check history on recorded files."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.peers.servers import brainctl

HEADER = {"brainctl_history": 1, "revision": 1, "exclusive": True}
PUT = {"op": "put", "client": 1, "endpoint": 0, "called": 0, "returned": 10, "key": "a", "value": "1", "rev": 2}
READ = {"op": "range", "client": 3, "endpoint": 0, "called": 20, "returned": 30, "key": "a", "count": 1, "rev": 2}
RIGHT = [HEADER, PUT, READ | {"kvs": [["a", 2, 2, 1, "1", 0]]}]
STALE = [HEADER, PUT, READ | {"kvs": [], "count": 0, "rev": 1}]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def write(file: Path, lines: list[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(file)


def test_a_right_history_holds(file: Path) -> None:
    done = brainctl("check", "history", write(file, RIGHT))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("holds: 2 operations, 0 events, revision 2, ")


def test_a_violation_is_said_in_words_and_files(file: Path) -> None:
    small, junit = file.with_name("small.jsonl"), file.with_name("verdict.xml")
    done = brainctl(
        "check", "history", write(file, STALE), "--counterexample", str(small), "--junit", str(junit), "--hex=false"
    )
    assert done.returncode == 7
    assert done.stderr == f"Error: 1 contradiction in {file}\n"
    first, *_, last = done.stdout.splitlines()
    assert first == 'stale-read: client 3 read revision 1 (read of "a") after client 1 was told 2 (put "a"="1")'
    assert last.startswith("violated: 2 operations, 0 events, revision 2, ")
    page = file.with_name("small.html")
    assert brainctl("check", "history", str(small), "--timeline", str(page)).returncode == 7
    assert "<svg" in page.read_text()
    again = brainctl("check", "history", str(small))
    assert (again.returncode, again.stdout.splitlines()[0]) == (7, first)
    suite = ET.fromstring(junit.read_text())
    assert suite.get("failures") == "1"
    (failed,) = (case for case in suite if len(case))
    assert (failed.get("name"), failed[0].get("message")) == ("stale-read", first.partition(": ")[2])


def test_json(file: Path) -> None:
    told = json.loads(brainctl("check", "history", write(file, STALE), "-w", "json").stdout)
    assert (told["holds"], told["found"], told["revision"]) == (False, 1, "2")
    assert [one["kind"] for one in told["anomalies"]] == ["stale-read"]
    assert told["counterexample"]["lines"] == STALE[1:]
    assert json.loads(brainctl("check", "history", write(file, RIGHT), "-w", "json").stdout)["holds"] is True


@pytest.mark.parametrize(
    ("lines", "code", "words"),
    [
        ([PUT], 3, "this is no history: its first line is no header"),
        ([HEADER | {"brainctl_history": 2}], 3, "this history has version 2, this build reads up to 1"),
        ([HEADER, {"op": "frobnicate"}], 3, "line 2 is no line of a history: "),
        ([HEADER, {"op": "put", "key": "a"}], 3, "line 2 (put) lacks called, client, value"),
        ([HEADER, {**PUT, "rev": None}], 3, "line 2 of the history, or one before it, cannot be judged"),
    ],
)
def test_what_is_no_history(file: Path, lines: list[dict[str, Any]], code: int, words: str) -> None:
    done = brainctl("check", "history", write(file, lines))
    assert done.returncode == code
    assert done.stderr.startswith(f"Error: {words}")


def test_mistakes(file: Path) -> None:
    assert brainctl("check", "history").returncode == 128
    assert brainctl("check", "history", "x", "--timeline", "x.png").returncode == 128
    assert brainctl("check", "history", str(file)).stderr.startswith("Error: no such file or directory")
    assert brainctl("check", "history", write(file, RIGHT), "-w", "table").returncode == 4
