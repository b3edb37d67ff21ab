"""Differences as lines of text and as JSON."""

from base64 import b64encode

from brainctl.verify.difference import (
    Difference,
    ExtraKey,
    ExtraLease,
    LeaseMismatch,
    Mismatch,
    MissingKey,
    MissingLease,
)


def line(entry: Difference) -> str:
    """For people: what differs, where. Bytes that are no text are escaped."""
    match entry:
        case MissingKey(key):
            return f"missing key   {_text(key)}"
        case ExtraKey(key):
            return f"extra key     {_text(key)}"
        case Mismatch(key, fields):
            return f"different key {_text(key)}: {', '.join(fields)}"
        case MissingLease(lease):
            return f"missing lease {_id(lease)}"
        case ExtraLease(lease):
            return f"extra lease   {_id(lease)}"
        case LeaseMismatch(lease, expected, found):
            return f"different lease {_id(lease)}: granted for {found} s instead of {expected} s"


def shape(entry: Difference) -> dict[str, object]:
    """For programs: keys are base64, lease ids are strings."""
    match entry:
        case MissingKey(key):
            return {"kind": "missing-key", "key": _base64(key)}
        case ExtraKey(key):
            return {"kind": "extra-key", "key": _base64(key)}
        case Mismatch(key, fields):
            return {"kind": "different-key", "key": _base64(key), "fields": list(fields)}
        case MissingLease(lease):
            return {"kind": "missing-lease", "lease": str(lease)}
        case ExtraLease(lease):
            return {"kind": "extra-lease", "lease": str(lease)}
        case LeaseMismatch(lease, expected, found):
            return {"kind": "different-lease", "lease": str(lease), "expected_ttl": expected, "found_ttl": found}


def _text(key: bytes) -> str:
    return key.decode(errors="backslashreplace")


def _base64(key: bytes) -> str:
    return b64encode(key).decode()


def _id(lease: int) -> str:
    return f"{lease & 0xFFFF_FFFF_FFFF_FFFF:016x}"
