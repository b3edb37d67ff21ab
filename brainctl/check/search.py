"""Histories that tell no revisions: a search for an order, in the manner of Wing and Gong, with Lowe's memory of it.

Every register is searched alone: linearizability is a property of each object. The search takes an operation that can
be the next one (none that has returned was called before it), applies it, and goes on; it remembers which sets of
operations have led to which state, and never tries one twice.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from brainctl.check.anomaly import Anomaly
from brainctl.check.order import NEVER

TRIED_MAX = 2_000_000
"""After how many steps a search gives up."""


class Operation(NamedTuple):
    """One operation of a register; times only order."""

    number: int
    process: str
    kind: str
    """read, write or cas."""
    called: int
    returned: int | None
    version: int | None
    """The version of the answer, where it is known."""
    value: str | None
    old: str | None
    """The value that a cas expects."""


class State(NamedTuple):
    """A register: how often it was written, and its value."""

    version: int = 0
    value: str | None = None


class Undecided(Exception):
    """The search takes too long."""


def apply(operation: Operation, state: State) -> State | None:
    """Return the register after an operation, None when the operation cannot have been answered so."""
    if operation.kind == "read":
        right = operation.version in (None, state.version) and operation.value == state.value
        return state if right else None
    if operation.kind == "cas" and operation.old != state.value:
        return None
    after = State(state.version + 1, operation.value)
    return after if operation.version in (None, after.version) else None


def linearizable(operations: Sequence[Operation]) -> bool:
    """Return whether some order explains all answers.

    Raises:
        Undecided: That was not found out in time.
    """
    calls = sorted(operations, key=lambda one: one.called)
    ends = [NEVER if one.returned is None else one.returned for one in calls]
    must = sum(1 << place for place, end in enumerate(ends) if end != NEVER)
    tried: set[tuple[int, State]] = set()
    left = [(0, State())]
    while left:
        done, state = left.pop()
        if done & must == must:
            return True
        first = min(end for place, end in enumerate(ends) if not done >> place & 1)
        for place, operation in enumerate(calls):
            if operation.called > first:
                break
            if done >> place & 1:
                continue
            after = apply(operation, state)
            step = (done | 1 << place, after) if after is not None else None
            if step is not None and step not in tried:
                tried.add(step)
                left.append(step)
        if len(tried) > TRIED_MAX:
            raise Undecided
    return False


def contradiction(key: str, operations: Sequence[Operation]) -> Anomaly | None:
    """Return the anomaly of a register, with the operation at whose return no order explains the answers any more."""
    if linearizable(operations):
        return None
    ends = sorted(one.returned for one in operations if one.returned is not None)
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high) // 2
        if linearizable(_until(operations, ends[middle])):
            low = middle + 1
        else:
            high = middle
    (last,) = (one for one in operations if one.returned == ends[low])
    told = "" if last.version is None else f" at version {last.version}"
    text = (
        f"no order of the operations on register {key or 'of the history'} explains that process {last.process} "
        f"was answered {last.kind} {last.value}{told}: all before it have one"
    )
    return Anomaly("not-linearizable", text, (), last.called)


def _until(operations: Sequence[Operation], time: int) -> list[Operation]:
    """Return what was called until a time; what has returned later is open."""
    return [
        one if one.returned is not None and one.returned <= time else one._replace(returned=None, version=None)
        for one in operations
        if one.called < time and not (one.kind == "read" and (one.returned is None or one.returned > time))
    ]


def search(registers: Mapping[str, Sequence[Operation]]) -> tuple[list[Anomaly], str]:
    """Return what contradicts itself in each register, and why some of them could not be judged."""
    found: list[Anomaly] = []
    undecided = ""
    for key, operations in registers.items():
        try:
            anomaly = contradiction(key, operations)
        except Undecided:
            undecided = f"register {key} has more than {TRIED_MAX} orders"
            continue
        if anomaly is not None:
            found.append(anomaly)
    return found, undecided
