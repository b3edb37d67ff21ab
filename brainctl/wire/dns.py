"""Ask DNS for services, and read the answers (RFC 1035, RFC 2782): bytes in, bytes out."""

import struct
from typing import Final, NamedTuple

SRV: Final = 33
"""The type of record that names the hosts of a service."""
_INTERNET: Final = 1
_HEADER: Final = struct.Struct(">HHHHHH")
_RECORD: Final = struct.Struct(">HHIH")
_RECURSE: Final = 0x0100
_TRUNCATED: Final = 0x0200
_POINTER: Final = 0xC0
_LABEL_MAX: Final = 63
_JUMPS_MAX: Final = 64
"""Labels and pointers of one name, so that pointers in a circle come to an end."""


class Service(NamedTuple):
    """One host and port at which a service is offered."""

    priority: int
    """Services with a lower one are to be used first."""
    weight: int
    port: int
    host: str


class Answer(NamedTuple):
    """The answer of a name server."""

    code: int
    """0 for success, 3 when there is no such name."""
    truncated: bool
    """Whether there was no room for the whole answer: ask again over TCP."""
    services: list[Service]


class Malformed(ValueError):
    """The bytes are not an answer to the question."""


def question(number: int, name: str) -> bytes:
    """Return a query for the services at `name`.

    Raises:
        ValueError: `name` is not a name of DNS.
    """
    labels = [label.encode("idna") for label in name.rstrip(".").split(".")]
    if not all(0 < len(label) <= _LABEL_MAX for label in labels):
        raise ValueError(f"{name!r} is no name of DNS")
    encoded = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return _HEADER.pack(number, _RECURSE, 1, 0, 0, 0) + encoded + struct.pack(">HH", SRV, _INTERNET)


def answer(number: int, data: bytes) -> Answer:
    """Read the answer to the question with this number.

    Raises:
        Malformed: the bytes are not such an answer.
    """
    try:
        return _answer(number, data)
    except (IndexError, struct.error, UnicodeError) as error:
        raise Malformed("a name server answers with what is no answer") from error


def _answer(number: int, data: bytes) -> Answer:
    """Read an answer; raises what reading beyond its end raises, besides Malformed."""
    found, flags, questions, records, _, _ = _HEADER.unpack_from(data)
    if found != number or not flags & 0x8000:
        raise Malformed("a name server answers another question")
    at = _HEADER.size
    for _ in range(questions):
        _, at = _name(data, at)
        at += 4
    services = []
    for _ in range(records):
        _, at = _name(data, at)
        kind, _, _, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if kind == SRV:
            priority, weight, port = struct.unpack_from(">HHH", data, at)
            services.append(Service(priority, weight, port, _name(data, at + 6)[0]))
        at += size
    return Answer(flags & 0xF, bool(flags & _TRUNCATED), services)


def _name(data: bytes, at: int) -> tuple[str, int]:
    """Return a name, and the position behind it; a pointer in a name leads back to an earlier one."""
    labels, after = [], None
    for _ in range(_JUMPS_MAX):
        size = data[at]
        if size & _POINTER == _POINTER:
            after = after if after is not None else at + 2
            at = (size & ~_POINTER) << 8 | data[at + 1]
        elif size:
            labels.append(data[at + 1 : at + 1 + size].decode("ascii"))
            at += 1 + size
        else:
            return ".".join(labels), at + 1 if after is None else after
    raise Malformed("a name in an answer does not end")
