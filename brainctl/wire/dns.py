"""Questions and answers of DNS about services (RFC 1035, RFC 2782): bytes in, bytes out."""

import struct
from typing import Final, NamedTuple

SRV: Final = 33
_INTERNET: Final = 1
_HEADER: Final = struct.Struct(">HHHHHH")
_RECORD: Final = struct.Struct(">HHIH")
_RECURSE: Final = 0x0100
_TRUNCATED: Final = 0x0200
_POINTER: Final = 0xC0
_LABEL_MAX: Final = 63
_JUMPS_MAX: Final = 64


class Service(NamedTuple):
    """One place where a service is."""

    priority: int
    """Lower ones first."""
    weight: int
    port: int
    host: str


class Answer(NamedTuple):
    """What a name server said."""

    code: int
    """0: fine; 3: there is no such name."""
    truncated: bool
    """There was no room for all of it: ask again over TCP."""
    services: list[Service]


class Malformed(ValueError):
    """The bytes are no answer to the question."""


def question(number: int, name: str) -> bytes:
    """A query for the services at `name`; ValueError when that is no name."""
    labels = [label.encode("idna") for label in name.rstrip(".").split(".")]
    if not all(0 < len(label) <= _LABEL_MAX for label in labels):
        raise ValueError(f"{name!r} is no name of DNS")
    encoded = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return _HEADER.pack(number, _RECURSE, 1, 0, 0, 0) + encoded + struct.pack(">HH", SRV, _INTERNET)


def answer(number: int, data: bytes) -> Answer:
    """Read the answer to question `number`; Malformed."""
    try:
        return _answer(number, data)
    except (IndexError, struct.error, UnicodeError) as error:
        raise Malformed("a name server answers with what is no answer") from error


def _answer(number: int, data: bytes) -> Answer:
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
    """A name, and where what follows it begins; a pointer in it leads back to an earlier one."""
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
