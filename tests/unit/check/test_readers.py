"""Histories of other programs: etcd's robustness tests, and Jepsen's registers."""

import json
from copy import deepcopy
from itertools import combinations, permutations
from pathlib import Path
from random import Random
from typing import Any

import pytest

from brainctl.check.checker import Verdict, check
from brainctl.check.readers.edn import Keyword, read_values
from brainctl.check.readers.jepsen import read_registers
from brainctl.check.readers.robustness import HEADER, read_report
from brainctl.check.search import Operation, apply, linearizable, search
from brainctl.check.search import State as Register
from brainctl.errors import InvalidInput
from tests.support.histories import Line, damaged, history

# -- etcd's robustness tests


def value(text: str) -> dict[str, Any]:
    return {"Value": text, "Hash": 0}


def kvs(line: Line) -> dict[str, Any]:
    found = [{"Key": kv[0], "Value": value(kv[4]), "ModRevision": kv[2]} for kv in line["kvs"]]
    return {"KVs": found, "Count": line["count"]}


def request_of(line: Line) -> dict[str, Any]:
    """A put, range or delete inside a transaction, as the robustness tests write it."""
    names = {"put": "put-operation", "range": "range-operation", "delete": "delete-operation"}
    return {
        "Type": names[line["op"]],
        "Range": {"Start": line["key"], "End": line.get("end", ""), "Limit": 0},
        "Put": {"Key": line["key"], "Value": value(line.get("value", "")), "LeaseID": 0},
        "Delete": {"Key": line["key"]},
    }


def operation(line: Line) -> dict[str, Any]:
    """An operation of a history, as the robustness tests write it: puts and deletes are transactions there."""
    known = line["returned"] is not None
    output: dict[str, Any] = {"Revision": line.get("rev", 0), "Error": "" if known else "timed out"}
    asked: dict[str, Any]
    if line["op"] == "range":
        asked = {
            "Type": "range",
            "Range": {"Start": line["key"], "End": line.get("end", ""), "Limit": 0, "Revision": 0},
        }
        output["Range"] = kvs(line) if known else None
    else:
        txn = line if line["op"] == "txn" else {"compare": [], "success": [line], "failure": [], "responses": [line]}
        conditions = [{"Key": one["key"], "ExpectedRevision": one["value"]} for one in txn["compare"]]
        branches = [[request_of(one) for one in txn[name]] for name in ("success", "failure")]
        asked = {"Conditions": conditions, "OperationsOnSuccess": branches[0], "OperationsOnFailure": branches[1]}
        asked = {"Type": "txn", "Txn": asked}
        results = [
            (kvs(one) if "kvs" in one else {"KVs": None, "Count": 0}) | {"Deleted": one.get("deleted", 0)}
            for one in txn.get("responses", ())
        ]
        output["Txn"] = {"Failure": not txn.get("succeeded", True), "Results": results} if known else None
    times = {"Call": line["called"], "Return": line["returned"] or 0}
    return {"ClientId": line["client"], "Input": asked, "Output": output, **times}


def report(lines: list[Line], indent: int | None = None) -> list[tuple[int, str, bytes]]:
    """The files of a report, the operations of a client in each."""
    clients = sorted({line["client"] for line in lines})
    return [
        (
            client,
            "operations.json",
            "\n".join(
                json.dumps(operation(line), indent=indent) for line in lines if line["client"] == client
            ).encode(),
        )
        for client in clients
    ]


def verdict_of(lines: Any) -> Verdict:
    return check(HEADER, lines)


@pytest.mark.parametrize("indent", [None, 2])
def test_a_report_has_the_verdict_of_the_same_history(indent: int | None) -> None:
    verdicts = []
    for seed in range(120):
        random = Random(seed)
        lines = history(random, 15)
        lines = damaged(random, lines) if seed % 2 else lines
        forgotten = deepcopy(lines)
        for line in forgotten:
            for kv in [kv for one in (line, *line.get("responses", ())) for kv in one.get("kvs", ())]:
                kv[1] = kv[3] = kv[5] = None
        verdicts.append(verdict_of(forgotten).holds)
        assert verdict_of(read_report(report(lines, indent))).holds == verdicts[-1], seed
    assert 20 < verdicts.count(True) < 110, "a control: both verdicts occur"


def test_a_watch_of_a_report() -> None:
    puts = [
        {"op": "put", "client": 1, "called": 10 * n, "returned": 10 * n + 5, "key": "a", "value": f"{n}", "rev": 1 + n}
        for n in (1, 2)
    ]

    def event(revision: int, text: str, **fields: Any) -> dict[str, Any]:
        return {"Type": "put-operation", "Key": "a", "Value": value(text), "Revision": revision, **fields}

    events = [event(2, "1", IsCreate=True, PrevValue=None)]
    events.append(event(3, "2", IsCreate=False, PrevValue={"Value": value("1"), "ModRevision": 2}))
    asked = {"Key": "", "Revision": 1, "WithPrefix": True, "WithProgressNotify": True, "WithPrevKV": True}

    def judged(*shown: dict[str, Any]) -> list[str]:
        responses = [{"Events": list(shown), "IsProgressNotify": False, "Revision": 3, "Time": 99}]
        watch = json.dumps({"Request": asked, "Responses": responses}).encode()
        found = verdict_of(read_report([*report(puts), (2, "watch.json", watch)]))
        assert found.events == len(shown)
        return [anomaly.kind for anomaly in found.anomalies]

    assert judged(*events) == []
    assert judged(events[1]) == ["watch-lost-event"]
    assert judged(events[1], events[0]) == ["watch-order"]
    assert judged(events[0], events[1] | {"IsCreate": True}) == ["watch-is-create"]
    assert judged(events[0], events[1] | {"PrevValue": None}) == ["watch-prev-kv"]
    assert judged(events[0], events[1] | {"Value": {"Hash": 12345}}) == ["watch-wrong-event"]


def test_reads_of_the_past_tell_no_order() -> None:
    puts = [
        {"op": "put", "client": 1, "called": 10 * n, "returned": 10 * n + 5, "key": "a", "value": f"{n}", "rev": 1 + n}
        for n in (1, 2)
    ]

    def past(revision: int, text: str, called: int) -> dict[str, Any]:
        read = {"op": "range", "client": 2, "called": called, "returned": called + 1, "key": "a", "rev": -1}
        shaped = operation(read | {"kvs": [["a", 2, revision, 1, text, 0]], "count": 1})
        shaped["Input"]["Range"]["Revision"] = revision
        return shaped

    def judged(*reads: dict[str, Any]) -> Verdict:
        file = (2, "operations.json", "".join(map(json.dumps, reads)).encode())
        return verdict_of(read_report([*report(puts), file]))

    assert judged(past(3, "2", 40), past(2, "1", 50)).holds
    assert [one.kind for one in judged(past(3, "1", 40)).anomalies] == ["wrong-answer"]


def test_what_is_no_report() -> None:
    with pytest.raises(InvalidInput, match=r"client-1/operations.json is no report of etcd's tests: KeyError: 'Input'"):
        read_report([(1, "operations.json", b"{}")])


# -- Jepsen

VERSIONED = """
; a register of jepsen.etcd
{:index 0, :type :invoke, :process 0, :f :write, :value [7 [nil 3]], :time 10}
{:index 1, :type :ok, :process 0, :f :write, :value [7 [1 3]], :time 20}
{:index 2, :type :invoke, :process 1, :f :cas, :value [7 [nil [3 4]]], :time 30}
{:index 3, :type :invoke, :process 2, :f :read, :value [7 [nil nil]], :time 40}
{:index 4, :type :info, :process :nemesis, :f :kill, :value {"n1" :killed}, :time 45}
{:index 5, :type :info, :process 1, :f :cas, :value [7 [nil [3 4]]], :time 50, :error [:timeout nil]}
{:index 6, :type :ok, :process 2, :f :read, :value [7 [%d %d]], :time 60}
"""


@pytest.mark.parametrize(("version", "text", "right"), [(1, 3, True), (2, 4, True), (2, 3, False), (1, 4, False)])
def test_registers_of_jepsen(version: int, text: int, right: bool) -> None:
    registers = read_registers(VERSIONED % (version, text))
    assert list(registers) == ["7"]
    assert [one.kind for one in registers["7"]] == ["write", "cas", "read"]
    anomalies, undecided = search(registers)
    assert not undecided
    assert [anomaly.kind for anomaly in anomalies] == ([] if right else ["not-linearizable"])
    if not right:
        assert f"process 2 was answered read {text} at version {version}" in anomalies[0].text


def test_one_register_without_versions_in_a_vector() -> None:
    text = """[#jepsen.history.Op{:process 0 :type :invoke :f :write :value 1}
    #jepsen.history.Op{:process 0 :type :ok :f :write :value 1}
    #jepsen.history.Op{:process 1 :type :invoke :f :read :value nil}
    #jepsen.history.Op{:process 1 :type :ok :f :read :value %s}]"""
    assert search(read_registers(text % "1")) == ([], "")
    assert len(search(read_registers(text % "nil"))[0]) == 1


def test_values_of_edn() -> None:
    (found,) = read_values(r'{:a [1 -2.5 nil true], "k\n" #{x} ; all of it' + '\n #inst "2020" (:b 3N)}')
    assert found == {Keyword("a"): [1, -2.5, None, True], "k\n": ["x"], "2020": [Keyword("b"), 3]}
    with pytest.raises(InvalidInput, match="ends inside a value"):
        list(read_values("{:a [1 2"))


def random_register(random: Random) -> list[Operation]:
    """A few overlapping operations with answers that may be wrong."""
    found = []
    for number in range(random.randrange(2, 7)):
        kind = random.choice(("read", "write", "cas"))
        called = random.randrange(40) * 10 + number
        known = random.random() < 0.85 or kind == "read"
        returned = called + random.randrange(1, 150) * 10 + 7 if known else None
        old = str(random.randrange(2)) if kind == "cas" else None
        found.append(Operation(number, str(number), kind, called, returned, None, random.choice(("0", "1")), old))
    return found


def brute_force(operations: list[Operation]) -> bool:
    """Whether one of all orders of all subsets that leave out unknown outcomes explains the answers."""
    known = [one for one in operations if one.returned is not None]
    open_ = [one for one in operations if one.returned is None]
    for size in range(len(open_) + 1):
        for some in combinations(open_, size):
            for order in permutations([*known, *some]):
                in_time = all(
                    late.returned is None or early.called <= late.returned
                    for place, early in enumerate(order)
                    for late in order[place + 1 :]
                )
                state: Register | None = Register()
                for one in order:
                    state = apply(one, state) if state is not None else None
                if in_time and state is not None:
                    return True
    return False


def test_the_search_finds_what_trying_all_orders_finds() -> None:
    verdicts = []
    for seed in range(200):
        operations = random_register(Random(seed))
        verdicts.append(linearizable(operations))
        assert verdicts[-1] == brute_force(operations), seed
    assert 20 < verdicts.count(True) < 180


def test_the_command_knows_them_by_their_places(tmp_path: Path) -> None:
    from brainctl.commands.check.sources import examined

    file = tmp_path / "history.edn"
    file.write_text(VERSIONED % (1, 4))
    assert examined(file, print).verdict.found == 1
    directory = tmp_path / "report"
    for client, name, data in report(history(Random(3), 10)):
        (directory / f"client-{client}").mkdir(parents=True)
        (directory / f"client-{client}" / name).write_bytes(data)
    assert examined(directory, print).verdict.holds
    with pytest.raises(InvalidInput, match="has no client-N"):
        examined(tmp_path, print)
    file.write_text("{:a 1}")
    with pytest.raises(InvalidInput, match="this is no Jepsen history of registers"):
        examined(file, print)
