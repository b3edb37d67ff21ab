"""The text form of a transaction: compares, then what to do when all hold, then what to do otherwise.

Three parts, each ended by an empty line; the end of the input before the third is a mistake. A compare is
`target("key") op "value"` with Go's string literals, a request is the command line of put, get or del. Where
etcdctl's reader is peculiar this one is peculiar in the same way, because scripts depend on it.
"""

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from brainctl.cli.command import prepare
from brainctl.cli.etcdctl_dialect import translate
from brainctl.cli.interrupt import asking
from brainctl.commands import delete, get, put
from brainctl.errors import BadArguments, InvalidInput
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.gotext import quote, unquote

_WORD = re.compile(r"""\"(?:[^"\\]|\\.)*"|'[^']*'|[^'"\s]\S*[^'"\s]?""")
_LITERAL = r'"(?:[^"\\\n]|\\.)*"|`[^`\n]*`'
_KEY = re.compile(rf"\s*({_LITERAL})")
_OPERATOR = re.compile(r"\)\s*(\S+)")
_VALUE = re.compile(rf"\s+({_LITERAL})")
_OPERATORS = {
    "=": pb.Compare.EQUAL,
    "!=": pb.Compare.NOT_EQUAL,
    ">": pb.Compare.GREATER,
    "<": pb.Compare.LESS,
}


class Request:
    """One request of a transaction, and the deletion that may need second thoughts."""

    def __init__(self, op: pb.RequestOp, deletion: delete.Deletion | None = None) -> None:
        self.op = op
        self.deletion = deletion


def lines(stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of one part of the input, without blanks around them; an empty line ends the part.

    Raises:
        InvalidInput: the input ends before that line does.
    """
    while True:
        with asking():
            line = stream.readline()
        if not line.endswith(b"\n"):
            raise InvalidInput("EOF")
        text = line.decode(errors="surrogateescape").strip()
        if not text:
            return
        yield text


def words(line: str) -> list[str]:
    """Return the words of a line; 'single quotes' and "Go strings" may contain blanks."""
    found = []
    for word in _WORD.findall(line):
        if word.startswith("'"):
            found.append(word[1:-1])
        elif word.startswith('"'):
            found.append(_unquoted(word).decode(errors="surrogateescape"))
        else:
            found.append(word)
    return found


def _unquoted(literal: str) -> bytes:
    data = unquote(literal)
    if data is None:
        raise InvalidInput("bad quoted string")
    return data


def parse_compare(line: str) -> pb.Compare:
    """Return the comparison in a line of the first part.

    Raises:
        InvalidInput: the line cannot be read; the text is etcdctl's.
    """
    target, paren, rest = line.partition("(")
    if not paren:
        raise InvalidInput(f"malformed comparison: {line}")
    key, operator, value = _scan(rest)
    if value is None:
        got = f"{target}({quote(key)}) {operator} {quote(b'')}"
        raise InvalidInput(f"malformed comparison: {line}; got {got}")
    if operator not in _OPERATORS:
        raise InvalidInput(f"malformed comparison: {line} (unknown operator {operator})")
    compare = pb.Compare(key=key, result=_OPERATORS[operator])
    try:
        _set_target(compare, target, value)
    except ValueError:
        raise InvalidInput(f"invalid txn compare request: {line}") from None
    except KeyError:
        raise InvalidInput(f"malformed comparison: {line} (unknown target {target})") from None
    return compare


def _scan(rest: str) -> tuple[bytes, str, bytes | None]:
    """Return key, operator and value of a comparison as far as they can be read; the value is None when it cannot."""
    match = _KEY.match(rest)
    if match is None:
        return b"", "", None
    key = _unquoted(match[1])
    match = _OPERATOR.match(rest, match.end())
    if match is None:
        return key, "", None
    operator = match[1]
    match = _VALUE.match(rest, match.end())
    return key, operator, _unquoted(match[1]) if match else None


def _set_target(compare: pb.Compare, target: str, value: bytes) -> None:
    """Set target and value of a comparison.

    Raises:
        KeyError: there is no such target.
        ValueError: the value is not a number and the target needs one.
    """
    match target:
        case "ver" | "version":
            compare.target, compare.version = pb.Compare.VERSION, _int64(value, 10)
        case "c" | "create":
            compare.target, compare.create_revision = pb.Compare.CREATE, _int64(value, 10)
        case "m" | "mod":
            compare.target, compare.mod_revision = pb.Compare.MOD, _int64(value, 10)
        case "lease":
            compare.target, compare.lease = pb.Compare.LEASE, _int64(value, 16)
        case "val" | "value":
            compare.target, compare.value = pb.Compare.VALUE, value
        case _:
            raise KeyError(target)


def _int64(digits: bytes, base: int) -> int:
    if not re.fullmatch(rb"[+-]?[0-9a-fA-F]+", digits):
        raise ValueError(digits)
    value = int(digits, base)
    if not -(2**63) <= value < 2**63:
        raise ValueError(digits)
    return value


def parse_request(line: str) -> Request:
    """Return the request in a line of the second or third part.

    Raises:
        BadArguments: a put without a value, which would come from standard input.
        InvalidInput: the line cannot be read; the text is etcdctl's.
    """
    arguments = words(line)
    if len(arguments) < 2:
        raise InvalidInput(f"invalid txn compare request: {line}")
    try:
        plan = _requests().main(args=translate(arguments), prog_name="txn", standalone_mode=False)
    except TyperException:
        raise InvalidInput(f"invalid txn request: {line}") from None
    if isinstance(plan, put.Put):
        if plan.from_stdin:  # which is the transaction itself
            raise BadArguments(put.WRONG)
        return Request(pb.RequestOp(request_put=plan.request))
    if isinstance(plan, get.Query):
        return Request(pb.RequestOp(request_range=plan.request))
    if isinstance(plan, delete.Deletion):
        return Request(pb.RequestOp(request_delete_range=plan.request), plan)
    raise InvalidInput(f"invalid txn request: {line}")


def _requests() -> TyperGroup:
    """put, get and del as commands that return what they would do."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    parsers: dict[str, Callable[..., object]] = {"put": put.parse, "get": get.parse, "del": delete.parse}
    for name, parse in parsers.items():
        app.command(name)(parse)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    prepare(group)
    return group
