"""brainctl get."""

from typing import Annotated, NamedTuple, TypeVar

import typer

from brainctl.cli.command import single
from brainctl.cli.options import Consistency, FromKey, Prefix, is_serializable, range_end, raw
from brainctl.cli.session import Session
from brainctl.cli.settings import read_int
from brainctl.errors import ApiError, BadArguments, Code, Unsupported
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store

_Option = TypeVar("_Option")
ORDERS = {"": pb.RangeRequest.NONE, "ASCEND": pb.RangeRequest.ASCEND, "DESCEND": pb.RangeRequest.DESCEND}
TARGETS = {
    "": pb.RangeRequest.KEY,
    "CREATE": pb.RangeRequest.CREATE,
    "KEY": pb.RangeRequest.KEY,
    "MODIFY": pb.RangeRequest.MOD,
    "VALUE": pb.RangeRequest.VALUE,
    "VERSION": pb.RangeRequest.VERSION,
}


class Query(NamedTuple):
    """Options of `brainctl get`: the range to read, and the form to show."""

    request: pb.RangeRequest
    value_only: bool
    stream: bool


def parse(
    args: Annotated[list[str] | None, typer.Argument(metavar="KEY [RANGE_END]", show_default=False)] = None,
    consistency: Consistency = "l",
    order: Annotated[
        str,
        typer.Option("--order", metavar="ASCEND|DESCEND", help="sort order of the results: ascending or descending"),
    ] = "",
    sort_by: Annotated[
        str,
        typer.Option(
            "--sort-by", metavar="CREATE|KEY|MODIFY|VALUE|VERSION", help="field that the results are sorted by"
        ),
    ] = "",
    limit: Annotated[str, typer.Option("--limit", metavar="int", help="maximum number of results (0: no limit)")] = "0",
    prefix: Prefix = False,
    from_key: FromKey = False,
    rev: Annotated[
        str, typer.Option("--rev", metavar="int", help="read the state at this revision (0: the newest)")
    ] = "0",
    keys_only: Annotated[bool, typer.Option("--keys-only", help="return keys without their values")] = False,
    count_only: Annotated[
        bool, typer.Option("--count-only", help="return only the number of keys (shown by -w fields)")
    ] = False,
    print_value_only: Annotated[
        bool, typer.Option("--print-value-only", help="print values without their keys (with -w simple)")
    ] = False,
    min_create_rev: Annotated[
        str, typer.Option("--min-create-rev", metavar="int", help="skip keys created before this revision (0: none)")
    ] = "0",
    max_create_rev: Annotated[
        str, typer.Option("--max-create-rev", metavar="int", help="skip keys created after this revision (0: none)")
    ] = "0",
    min_mod_rev: Annotated[
        str, typer.Option("--min-mod-rev", metavar="int", help="skip keys last modified before this revision (0: none)")
    ] = "0",
    max_mod_rev: Annotated[
        str, typer.Option("--max-mod-rev", metavar="int", help="skip keys last modified after this revision (0: none)")
    ] = "0",
    stream: Annotated[
        bool, typer.Option("--stream", help="read with the RangeStream call, which needs etcd 3.7")
    ] = False,
) -> Query:
    """Get KEY, or the keys from KEY up to RANGE_END."""
    if not args:
        raise BadArguments("get command needs one argument as key and an optional argument as range_end")
    if prefix and from_key:
        raise BadArguments("`--prefix` and `--from-key` cannot be set at the same time, choose one")
    if keys_only and count_only:
        raise BadArguments("`--keys-only` and `--count-only` cannot be set at the same time, choose one")
    serializable = is_serializable(consistency)
    if len(args) > 1 and (prefix or from_key):
        raise BadArguments("too many arguments, only accept one argument when `--prefix` or `--from-key` is set")
    key, end = range_end(raw(args[0]), prefix=prefix, from_key=from_key)
    request = pb.RangeRequest(
        key=key,
        range_end=raw(args[1]) if len(args) > 1 else end,
        limit=read_int(limit, "--limit"),
        revision=max(0, read_int(rev, "--rev")),
        sort_order=_choose(ORDERS, order, "bad sort order"),
        sort_target=_choose(TARGETS, sort_by, "bad sort target"),
        serializable=serializable,
        keys_only=keys_only,
        count_only=count_only,
    )
    _apply_order(request)
    request.min_create_revision, request.max_create_revision = _bounds("Create", min_create_rev, max_create_rev)
    request.min_mod_revision, request.max_mod_revision = _bounds("Mod", min_mod_rev, max_mod_rev)
    return Query(request, print_value_only, stream)


def _choose(options: dict[str, _Option], text: str, problem: str) -> _Option:
    chosen = options.get(text.upper())
    if chosen is None:
        raise Unsupported(f"{problem} {text}")
    return chosen


def _apply_order(request: pb.RangeRequest) -> None:
    """Set the order of a request: keys ascend anyway, and another target without an order means ascending."""
    by_key = request.sort_target == pb.RangeRequest.KEY
    if by_key and request.sort_order == pb.RangeRequest.ASCEND:
        request.sort_order = pb.RangeRequest.NONE
    elif not by_key and request.sort_order == pb.RangeRequest.NONE:
        request.sort_order = pb.RangeRequest.ASCEND


def _bounds(name: str, low: str, high: str) -> tuple[int, int]:
    flag = name.lower()
    lower = max(0, read_int(low, f"--min-{flag}-rev"))
    upper = max(0, read_int(high, f"--max-{flag}-rev"))
    if upper and lower > upper:
        raise Unsupported(f"getMin{name}Rev(={lower}) > getMax{name}Rev(={upper})")
    return lower, upper


async def run(session: Session, query: Query) -> None:
    """Read and show it."""
    if query.request.count_only and session.settings.write_out != "fields":
        raise BadArguments("--count-only is only for `--write-out=fields`")
    if query.value_only and session.settings.write_out != "simple":
        raise BadArguments("print-value-only is only for `--write-out=simple`")
    async with session.open() as store:
        if session.settings.write_out == "simple" and session.settings.store and await _in_parts(session, store, query):
            return
        response = await (_streamed(store, query.request) if query.stream else store.range(query.request))
        session.show(response, value_only=query.value_only)


async def _in_parts(session: Session, store: Store, query: Query) -> bool:
    """Show a long answer of a store of this process part by part, without holding all of it; False for any other."""
    from brainctl.stores.parts import comes_in_parts, parts

    if not comes_in_parts(store, query.request):
        return False
    async for part in parts(store, query.request):
        session.show(part, value_only=query.value_only)
    return True


async def _streamed(store: Store, request: pb.RangeRequest) -> pb.RangeResponse:
    """Return a range that is read in parts (KV.RangeStream); in one part where the store does not offer that."""
    server = store.server
    if server is None:
        return await store.range(request)
    whole = pb.RangeResponse()
    try:
        async for part in server.range_stream(request):
            whole.MergeFrom(part)
    except ApiError as error:
        if error.status.code is not Code.UNIMPLEMENTED:
            raise
        return await store.range(request)
    return whole


app = single("get", parse, run)
