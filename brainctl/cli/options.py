"""The pieces that parsers of commands share."""

import os
from typing import Annotated

import typer

from brainctl.errors import BadArguments, Unsupported
from brainctl.mvcc.prefix import prefix_end

Prefix = Annotated[bool, typer.Option("--prefix", help="select all keys that start with KEY")]
FromKey = Annotated[bool, typer.Option("--from-key", help="select KEY and all keys after it, compared as bytes")]
PrevKv = Annotated[bool, typer.Option("--prev-kv", help="also return the key-value that was replaced or deleted")]
Consistency = Annotated[
    str,
    typer.Option("--consistency", metavar="l|s", help="consistency of the read: linearizable (l) or serializable (s)"),
]
Passed = Annotated[list[str] | None, typer.Argument(hidden=True)]
"""Arguments that are passed over, as in etcdctl."""
Cluster = Annotated[
    bool, typer.Option("--cluster", help="ask all endpoints of the cluster's member list, instead of --endpoints")
]


def raw(text: str) -> bytes:
    """Return the bytes of an argument, as the shell passed them."""
    return os.fsencode(text)


def name_of(text: str) -> str:
    """Return a name for the API, which must be UTF-8.

    Raises:
        BadArguments: it is not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadArguments(f"{raw(text)!r} is not UTF-8") from None
    return text


def member_id(text: str, what: str = "{}") -> int:
    """Return a member id that is given in hexadecimal: 64 bits without a sign.

    Args:
        text: the id as it was typed.
        what: the error message, with {} where the problem stands.

    Raises:
        BadArguments: it is no such number.
    """
    problem = f'strconv.ParseUint: parsing "{text}": '
    if not text or text.strip("0123456789abcdefABCDEF"):
        raise BadArguments(what.format(f"{problem}invalid syntax"))
    value = int(text, 16)
    if value >= 2**64:
        raise BadArguments(what.format(f"{problem}value out of range"))
    return value


def is_serializable(consistency: str) -> bool:
    """Return whether --consistency asks for a serializable read ("s") and not for a linearizable one ("l").

    Raises:
        Unsupported: it is neither.
    """
    if consistency not in ("l", "s"):
        raise Unsupported(f'unknown consistency flag "{consistency}"')
    return consistency == "s"


def lease_id(text: str, what: str) -> int:
    """Return a lease id that is given in hexadecimal: 64 bits with a sign.

    Args:
        text: the id as it was typed.
        what: the beginning of the error message.

    Raises:
        BadArguments: it is no such number.
    """
    digits = text[1:] if text[:1] in ("+", "-") else text
    problem = f'strconv.ParseInt: parsing "{text}"'
    if not digits or digits.strip("0123456789abcdefABCDEF"):
        raise BadArguments(f"{what} ({problem}: invalid syntax), expecting ID in Hex")
    value = int(text, 16)
    if not -(2**63) <= value < 2**63:
        raise BadArguments(f"{what} ({problem}: value out of range), expecting ID in Hex")
    return value


def decimal(text: str) -> int:
    """Return a 64-bit integer that is given in decimal.

    Raises:
        BadArguments: it is no such number; the text is Go's.
    """
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits.isascii() or not digits.isdigit():
        raise BadArguments(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise BadArguments(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def range_end(key: bytes, *, prefix: bool, from_key: bool) -> tuple[bytes, bytes]:
    """Return key and range_end of a request with --prefix or --from-key; an empty key means all keys."""
    if not prefix and not from_key:
        return key, b""
    if not key:
        return b"\0", b"\0"
    if from_key:
        return key, b"\0"
    return key, prefix_end(key)
