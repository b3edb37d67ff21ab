"""Histories that a made-up store could have left: right ones, and such with a fault.

The store is a dictionary of its own, so that the rules are written down once more than in the checker.
"""

from copy import deepcopy
from random import Random
from typing import Any

Line = dict[str, Any]
KEYS = ("a", "b", "c")


class Made:
    """A store that carries out operations one after the other, each as a line with its answer."""

    def __init__(self, revision: int = 1) -> None:
        self.revision = revision
        self.keys: dict[str, list[Any]] = {}

    def do(self, line: Line) -> None:
        """Carry out an operation, and write its answer into its line."""
        if line["op"] != "txn":
            line.update(self._one(line, self.revision + 1))
            self._count([line], [line])
        else:
            line["succeeded"] = all(self._holds(one) for one in line["compare"])
            branch = line["success"] if line["succeeded"] else line["failure"]
            line["responses"] = [self._one(request, self.revision + 1) for request in branch]
            self._count(branch, line["responses"])
        line["rev"] = self.revision

    def _count(self, requests: list[Line], answers: list[Line]) -> None:
        self.revision += any(
            request["op"] == "put" or answer.get("deleted", 0) > 0
            for request, answer in zip(requests, answers, strict=True)
        )

    def _one(self, request: Line, revision: int) -> Line:
        key = request["key"]
        chosen = [
            name for name in sorted(self.keys) if name == key or ("end" in request and key <= name < request["end"])
        ]
        if request["op"] == "range":
            return {"kvs": deepcopy([self.keys[name] for name in chosen]), "count": len(chosen)}
        if request["op"] == "delete":
            for name in chosen:
                del self.keys[name]
            return {"deleted": len(chosen)}
        old = self.keys.get(key)
        created, version = (old[1], old[3] + 1) if old else (revision, 1)
        self.keys[key] = [key, created, revision, version, request["value"], 0]
        return {}

    def _holds(self, compare: Line) -> bool:
        kv = self.keys.get(compare["key"])
        return bool((kv[2] if kv else 0) == compare["value"])


def request(random: Random, number: int) -> Line:
    """Return a random operation; the value of a put is its own."""
    key = random.choice(KEYS)
    match random.randrange(10):
        case 0 | 1 | 2:
            return {"op": "put", "key": key, "value": f"v{number}"}
        case 3:
            return {"op": "delete", "key": key}
        case 4:
            return {"op": "range", "key": "a", "end": "z"}
        case 5 | 6:
            branch = [{"op": "put", "key": key, "value": f"v{number}"}, {"op": "range", "key": random.choice(KEYS)}]
            other = [{"op": "range", "key": key}]
            compare = [{"key": key, "target": "mod", "relation": "=", "value": random.choice((0, 2, 3, 4))}]
            return {"op": "txn", "compare": compare, "success": branch, "failure": other}
    return {"op": "range", "key": key}


def history(random: Random, operations: int, clients: int = 4, unknown: float = 0.1) -> list[Line]:
    """Return a right history: each operation takes effect at a moment between its call and its return.

    One of unknown outcome takes effect at some time after its call, or never.
    """
    planned: list[tuple[int, Line, Line | None]] = []
    free = [0] * clients
    for number in range(operations):
        client = min(range(clients), key=lambda one: free[one])
        called = free[client] + random.randrange(1, 20)
        effect = called + random.randrange(1, 40)
        returned = effect + random.randrange(1, 40)
        free[client] = returned
        line = {"client": client, "endpoint": 0, "called": called, "returned": returned, **request(random, number)}
        if random.random() < unknown and line["op"] != "range":
            line |= {"returned": None, "client": number + clients}
            done: Line | None = deepcopy(line)
            effect += random.choice((0, 0, 100, 1000))
            planned.append((effect, line, done if random.random() < 0.6 else None))
        else:
            planned.append((effect, line, line))
    made = Made()
    for _, _, line in sorted(planned, key=lambda one: one[0]):
        if line is not None:
            made.do(line)
    lines = [line for _, line, _ in planned]
    return sorted(lines, key=lambda line: line["returned"] or line["called"] + 1)


def damaged(random: Random, lines: list[Line]) -> list[Line]:
    """Return the history with one answer, revision or time changed, which may or may not make it wrong."""
    lines = deepcopy(lines)
    answered = [line for line in lines if line["returned"] is not None]
    line = random.choice(answered)
    other = random.choice(answered)
    match random.randrange(6):
        case 0:
            line["rev"] = max(1, line["rev"] + random.choice((-2, -1, 1)))
        case 1 if line["op"] == "range" and other["op"] == "range":
            line["kvs"], line["count"] = other["kvs"], other["count"]
        case 2:
            line["returned"] = line["called"] + 1
        case 3:
            line["called"] = line["returned"] - 1
        case 4 if line["op"] == other["op"] == "range":
            line["rev"], other["rev"] = other["rev"], line["rev"]
        case _ if line["op"] == "put":
            line["returned"] = None
        case _ if line["op"] == "txn":
            line["succeeded"] = not line["succeeded"]
        case _ if line["op"] == "delete":
            line["deleted"] += 1
        case _:
            line["kvs"], line["count"] = [], 0
    return sorted(lines, key=lambda line: line["returned"] or line["called"] + 1)
