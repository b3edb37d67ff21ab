"""JSON of the gateway: protobuf's mapping with the names of the .proto files and without fields that are unset."""

import json
import re
from collections import Counter
from typing import Final, TypeVar, cast

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from brainctl.errors import ApiError, BrainctlError, Code, Status
from brainctl.server.status import status_of

_Request = TypeVar("_Request", bound=Message)
_DEPTH: Final = 64
"""Maximum depth of nested objects; only transactions in transactions come near it."""
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]*|[A-Za-z0-9_-]*)={0,2}")


class _Object(dict[str, object]):
    """A JSON object, with the names that it has more than once."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.repeated: frozenset[str] = frozenset()
        if len(self) != len(pairs):
            self.repeated = frozenset(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)


def _no_constant(name: str) -> object:
    """Refuse NaN and the infinities, which Python's reader takes and JSON does not have."""
    raise ValueError(f"{name} is no value of JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_Object, parse_constant=_no_constant)
_SPACE: Final = re.compile(r"[ \t\r\n]*")

HTTP_STATUS: Final[dict[Code, int]] = {
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.UNAUTHENTICATED: 401,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
}
"""The HTTP status of a gRPC code, as google.api's HTTP mapping has it; every other code is 500."""


def encode(message: Message) -> bytes:
    """Return a message as one JSON object on one line.

    Bytes are in base64, integers of 64 bits are strings, enums are names.
    """
    return orjson.dumps(MessageToDict(message, preserving_proto_field_name=True))


def encode_error(error: BrainctlError | Status) -> tuple[int, bytes]:
    """Return the HTTP status and the JSON object of an error."""
    status = error if isinstance(error, Status) else status_of(error)
    return HTTP_STATUS.get(status.code, 500), orjson.dumps({"code": int(status.code), "message": status.message})


def decode(kind: type[_Request], body: bytes, *, many: bool = False) -> list[_Request]:
    """Return the requests in a body: the first one, or with `many` all that follow each other.

    Fields may have their .proto name or its camel case; unknown ones are passed over. An empty body is one empty
    request where there is one to make.

    Raises:
        ApiError: the body cannot be read.
    """
    requests: list[_Request] = []
    try:
        text = body.decode()
        at = _skip(text, 0)
        while at < len(text) and (many or not requests):
            document, at = _DECODER.raw_decode(text, at)
            _check(document, cast("Descriptor", kind.DESCRIPTOR), _DEPTH)  # upb's is one without saying so
            requests.append(ParseDict(document, kind(), ignore_unknown_fields=True, max_recursion_depth=_DEPTH + 1))
            at = _skip(text, at)
    except (ParseError, ValueError, TypeError, RecursionError) as error:
        raise ApiError(Status(Code.INVALID_ARGUMENT, f"malformed JSON request: {error}")) from error
    return requests if requests or many else [kind()]


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    assert space is not None
    return space.end()


def _check(document: object, kind: Descriptor, depth: int) -> None:
    """Refuse what protobuf's reader for Python takes and that for Go does not, and drop what only the latter passes
    over: characters that are not base64, fields given twice, enums by the text of a number.
    """
    if not isinstance(document, _Object):
        raise TypeError(f"an object is wanted for {kind.name}")
    if not depth:
        raise ValueError("objects are nested too deeply")
    seen: set[str] = set()
    for name, value in document.items():
        field = kind.fields_by_camelcase_name.get(name) or kind.fields_by_name.get(name)
        if field is None:
            continue
        if field.name in seen or name in document.repeated:
            raise ValueError(f"{name} is there twice")
        seen.add(field.name)
        if field.type == FieldDescriptor.TYPE_ENUM:
            document[name] = _known_enums(value, field)
        elif value is not None:
            _check_value(name, value, field, depth)


def _check_value(name: str, value: object, field: FieldDescriptor, depth: int) -> None:
    items = value if field.is_repeated and isinstance(value, list) else [value]
    for item in items:
        if field.type == FieldDescriptor.TYPE_BYTES:
            _check_base64(name, item)
        elif field.message_type is not None:
            _check(item, field.message_type, depth - 1)


def _known_enums(value: object, field: FieldDescriptor) -> object:
    """Return the value of an enum, or several, without names that the enum does not have; None, which is unset, for
    such a name alone.
    """
    if isinstance(value, list):
        return [item for item in value if _known_enums(item, field) is not None]
    assert field.enum_type is not None
    return None if isinstance(value, str) and value not in field.enum_type.values_by_name else value


def _check_base64(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} is bytes: a string in base64 is wanted")
    padding = len(value) - len(value.rstrip("="))
    left_over = len(value) % 4
    if not _BASE64.fullmatch(value) or left_over == 1 or (left_over and padding):
        raise ValueError(f"{name} is bytes: {value[:40]!r} is not base64")
