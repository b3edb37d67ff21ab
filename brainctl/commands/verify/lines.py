"""Differences between stores, as lines of text and as JSON."""

from base64 import b64encode
from typing import assert_never

from brainctl.verify.difference import (
    Account,
    AccountDifference,
    AuthSwitch,
    ChangeDifference,
    Difference,
    ExtraKey,
    ExtraLease,
    ExtraRevisions,
    LeaseMismatch,
    Mismatch,
    MissingKey,
    MissingLease,
    MissingRevisions,
)


def line(entry: Difference) -> str:
    """Return a line for people that says what differs and where; bytes that are no text are escaped."""
    match entry:
        case MissingRevisions(first, last):
            text = f"missing revisions {first} to {last}: the second store has not reached them"
        case ExtraRevisions(first, last):
            text = f"extra revisions {first} to {last}: the first store has not reached them"
        case MissingKey(key):
            text = f"missing key   {_text(key)}"
        case ExtraKey(key):
            text = f"extra key     {_text(key)}"
        case Mismatch(key, fields):
            text = f"different key {_text(key)}: {', '.join(fields)}"
        case MissingLease(lease):
            text = f"missing lease {_id(lease)}"
        case ExtraLease(lease):
            text = f"extra lease   {_id(lease)}"
        case LeaseMismatch(lease, expected, found):
            text = f"different lease {_id(lease)}: granted for {found} s instead of {expected} s"
        case ChangeDifference() | Account() | AuthSwitch():
            text = _other(entry)
        case _:
            assert_never(entry)
    return text


def shape(entry: Difference) -> dict[str, object]:
    """Return a difference for programs: keys are base64, lease ids are strings."""
    shown: dict[str, object]
    match entry:
        case MissingRevisions(first, last):
            shown = {"kind": "missing-revisions", "first": str(first), "last": str(last)}
        case ExtraRevisions(first, last):
            shown = {"kind": "extra-revisions", "first": str(first), "last": str(last)}
        case MissingKey(key):
            shown = {"kind": "missing-key", "key": _base64(key)}
        case ExtraKey(key):
            shown = {"kind": "extra-key", "key": _base64(key)}
        case Mismatch(key, fields):
            shown = {"kind": "different-key", "key": _base64(key), "fields": list(fields)}
        case MissingLease(lease):
            shown = {"kind": "missing-lease", "lease": str(lease)}
        case ExtraLease(lease):
            shown = {"kind": "extra-lease", "lease": str(lease)}
        case LeaseMismatch(lease, expected, found):
            shown = {"kind": "different-lease", "lease": str(lease), "expected_ttl": expected, "found_ttl": found}
        case ChangeDifference() | Account() | AuthSwitch():
            shown = _other_shape(entry)
        case _:
            assert_never(entry)
    return shown


def _other(entry: ChangeDifference | AccountDifference) -> str:
    if isinstance(entry, ChangeDifference):
        fields = f": {', '.join(entry.fields)}" if entry.fields else ""
        return f"{entry.problem} change of {_text(entry.key)} in revision {entry.revision}{fields}"
    if isinstance(entry, AuthSwitch):
        return f"authentication is {_on(entry.found)} instead of {_on(entry.expected)}"
    fields = f": {', '.join(entry.fields)}" if entry.fields else ""
    return f"{f'{entry.problem} {entry.kind}':<13} {entry.name}{fields}"


def _other_shape(entry: ChangeDifference | AccountDifference) -> dict[str, object]:
    if isinstance(entry, ChangeDifference):
        change = {"kind": f"{entry.problem}-change", "revision": str(entry.revision), "key": _base64(entry.key)}
        return change | ({"fields": list(entry.fields)} if entry.fields else {})
    if isinstance(entry, AuthSwitch):
        return {"kind": "authentication", "expected": entry.expected, "found": entry.found}
    shown: dict[str, object] = {"kind": f"{entry.problem}-{entry.kind}", "name": entry.name}
    return shown | ({"fields": list(entry.fields)} if entry.fields else {})


def _on(enabled: bool) -> str:
    return "on" if enabled else "off"


def _text(key: bytes) -> str:
    return key.decode(errors="backslashreplace")


def _base64(key: bytes) -> str:
    return b64encode(key).decode()


def _id(lease: int) -> str:
    return f"{lease & 0xFFFF_FFFF_FFFF_FFFF:016x}"
