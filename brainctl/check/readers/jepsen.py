"""Registers of a Jepsen history (history.edn): reads, writes and compare-and-sets, by key where there are several.

Values are as in jepsen.etcd: [key [version value]] with independent keys and versions, [key value] with keys alone, or
just a value; a compare-and-set has [old new] for the value. An :info leaves an outcome unknown, a :fail had no effect.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from brainctl.check.readers.edn import Keyword, Value, read_values
from brainctl.check.search import Operation
from brainctl.errors import InvalidInput

KINDS = frozenset(("read", "write", "cas"))


class _Shape(NamedTuple):
    """The form of the values of a history."""

    keyed: bool
    versioned: bool


def read_registers(text: str) -> dict[str, list[Operation]]:
    """Return the operations of each register.

    Raises:
        InvalidInput: The text is no history of registers.
    """
    events = list(_events(text))
    if not events:
        raise InvalidInput("this is no Jepsen history of registers: it has no :read, :write or :cas")
    shape = _shape(events)
    open_: dict[Value, Operation] = {}
    found: dict[str, list[Operation]] = {}
    for number, event in enumerate(events):
        process, kind = _plain(event["process"]), event["type"]
        if kind == Keyword("invoke"):
            key, fields = _fields(event, shape, answered=False)
            name = event["f"]
            assert isinstance(name, Keyword)
            operation = Operation(len(found.get(key, ())), str(process), name.name, number, None, *fields)
            open_[process] = operation
            found.setdefault(key, []).append(operation)
        elif process in open_:
            begun = open_.pop(process)
            key, fields = _fields(event, shape, answered=kind == Keyword("ok"))
            place = found[key]
            if kind == Keyword("ok"):
                place[begun.number] = begun._replace(returned=number, version=fields[0], value=fields[1], old=fields[2])
            elif kind == Keyword("fail"):
                place[begun.number] = begun._replace(kind="none")
    return {key: [one for one in place if _matters(one)] for key, place in found.items()}


def _matters(operation: Operation) -> bool:
    return operation.kind != "none" and not (operation.kind == "read" and operation.returned is None)


def _events(text: str) -> Iterator[dict[str, Value]]:
    values: Iterable[Value] = read_values(text)
    for value in values:
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, dict):
                continue
            event = {key.name: one for key, one in each.items() if isinstance(key, Keyword)}
            name = event.get("f")
            if isinstance(name, Keyword) and name.name in KINDS and "process" in event and "type" in event:
                yield event


def _shape(events: list[dict[str, Value]]) -> _Shape:
    """Return the form of values: reads tell, because what they ask for is nothing else than a key."""
    reads = [event.get("value") for event in events if event["f"] == Keyword("read")]
    keyed = any(isinstance(value, list) for value in reads)
    versioned = keyed and any(isinstance(value, list) and isinstance(value[1], list) for value in reads)
    return _Shape(keyed, versioned)


def _fields(
    event: dict[str, Value], shape: _Shape, *, answered: bool
) -> tuple[str, tuple[int | None, str | None, str | None]]:
    """Return the key of an operation, and its version, its value and the value it expects; None where not known."""
    key, value = "", event.get("value")
    if shape.keyed and isinstance(value, list):
        key, value = str(value[0]), value[1]
    version: int | None = None
    if shape.versioned and isinstance(value, list):
        given, value = value
        version = given if answered and isinstance(given, int) else None
    if event["f"] == Keyword("cas") and isinstance(value, list):
        return key, (version, _text(value[1]), _text(value[0]))
    return key, (version, _text(value), None)


def _text(value: Value) -> str | None:
    return None if value is None else repr(value)


def _plain(value: Value) -> Value:
    return value.name if isinstance(value, Keyword) else value
