"""What `watch` is to watch and to run: its arguments, the words behind --, and two variables."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from brainctl.cli.options import raw
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.prefix import prefix_end
from brainctl.output.gotext import quote

SEPARATOR = "--"


class Flags(NamedTuple):
    """The flags of one watch."""

    prefix: bool
    rev: int
    prev_kv: bool
    progress_notify: bool


class Wanted(NamedTuple):
    """One watch: the request, and the command to run for each event."""

    request: pb.WatchCreateRequest
    command: tuple[str, ...]


def environment_keys(environ: Mapping[str, str]) -> list[str]:
    """Return key and range end from the variables: none, the key, or both.

    Raises:
        BadArguments: there is a range end without a key.
    """
    key = environ.get("BRAINCTL_WATCH_KEY") or environ.get("ETCDCTL_WATCH_KEY", "")
    end = environ.get("BRAINCTL_WATCH_RANGE_END") or environ.get("ETCDCTL_WATCH_RANGE_END", "")
    if end and not key:
        text = quote(os.fsencode(end))
        raise BadArguments(f"ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END={text}")
    return [word for word in (key, end) if word]


def wanted(args: Sequence[str], line: Sequence[str], keys: Sequence[str], flags: Flags) -> Wanted:
    """Return the watch that was requested.

    Args:
        args: the arguments without flags.
        line: the whole command line, in which a command may follow `--`.
        keys: key and range end from the variables.
        flags: the flags of the watch.

    Raises:
        BadArguments: they do not fit together; the texts are etcdctl's.
    """
    command: tuple[str, ...] = ()
    if SEPARATOR in line:
        command = tuple(line[line.index(SEPARATOR) + 1 :])
        if not command:
            raise BadArguments("bad number of arguments (found separator --, but no commands)")
        args = args[: len(args) - len(command)]
    if keys and args:
        raise BadArguments("bad number of arguments (found conflicting environment key)")
    args = keys or args
    if not args or len(args) > 2:
        raise BadArguments("bad number of arguments")
    if len(args) > 1 and flags.prefix:
        raise BadArguments("`range_end` and `--prefix` are mutually exclusive")
    return Wanted(_request([raw(arg) for arg in args], flags), command)


def _request(keys: list[bytes], flags: Flags) -> pb.WatchCreateRequest:
    key = keys[0]
    end = keys[1] if len(keys) > 1 else b""
    if flags.prefix:
        key, end = (key, prefix_end(key)) if key else (b"\0", b"\0")
    return pb.WatchCreateRequest(
        key=key or b"\0",
        range_end=end,
        start_revision=flags.rev,
        prev_kv=flags.prev_kv,
        progress_notify=flags.progress_notify,
    )
