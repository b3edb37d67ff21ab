"""brainctl store create, info, compact, defrag, verify; check, dump and repair are next door."""

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from brainctl.cli.command import command, group
from brainctl.cli.options import decimal
from brainctl.cli.session import Session
from brainctl.commands.store.fields import StoreArgument, show, store_url
from brainctl.commands.store.files import check, dump, parse_check, parse_dump, parse_repair, repair
from brainctl.commands.store.scrub import parse_scrub, scrub
from brainctl.commands.verify import command as compare
from brainctl.commands.verify.options import VerifyOptions
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.urls import directory_of

if TYPE_CHECKING:
    from brainctl.stores.store import Store

ALL_KEYS = b"\0"


def parse_create(args: StoreArgument = None) -> str:
    """Make a new, empty store at STORE: a directory that is missing or empty, or tikv://PD/PREFIX.

    `serve --data-dir`, `migrate --to` and `snapshot restore` make theirs themselves; no other command makes one.
    """
    url = _one(args, "create")
    if not url:
        raise BadArguments("store create command needs a directory or a URL")
    return url


async def create(session: Session, url: str) -> None:
    """Make it, unless there is one."""
    from brainctl.stores.registry import create_store

    await create_store(url)
    show(session, {"store": url, "created": "yes"})


def parse_info(args: StoreArgument = None) -> str:
    """Show what is in STORE: a directory or a URL, --store or --endpoints when it is missing."""
    return _one(args, "info")


async def info(session: Session, url: str) -> None:
    """Open it, or ask the server that holds it, and show what it says."""
    async with session.open(url or session.settings.store) as store:
        status = await store.status()
        everything = pb.RangeRequest(key=ALL_KEYS, range_end=ALL_KEYS, count_only=True)
        keys = (await store.range(everything)).count
        leases = len((await store.leases()).leases)
        fields = {
            "store": store.url,
            "version": status.version,
            "cluster id": f"{status.header.cluster_id:x}",
            "revision": str(status.header.revision),
            "keys": str(keys),
            "leases": str(leases),
            "size": str(status.dbSize),
            "size in use": str(status.dbSizeInUse),
            **_migration(store, url or session.settings.store),
            **_written(store.url),
        }
    show(session, fields)


def _migration(store: "Store", url: str) -> dict[str, str]:
    """Return the record of the migration into a store, from its files where a server has it open."""
    from brainctl.engine.offline.info import read_info
    from brainctl.errors import StoreDamaged
    from brainctl.mvcc.record_names import CHECKPOINT
    from brainctl.stores.unfinished import Standing

    standing = None
    if (local := store.in_process) is not None:
        standing = local.migration
    elif (directory := directory_of(url)) is not None:
        with suppress(StoreDamaged, OSError):  # it is written meanwhile
            standing = Standing.of(read_info(directory).records.get(CHECKPOINT))
    return standing.fields() if standing is not None else {}


def _written(url: str) -> dict[str, str]:
    """Return the bytes that a store in a directory has written since it was made, by purpose.

    It is empty where they were not counted.
    """
    from brainctl.engine.write_history import load

    directory = directory_of(url)
    wear = load(directory) if directory is not None else None
    return {} if wear is None else {f"written, {what}": str(count) for what, count in wear.total.by_category.items()}


class Compact(NamedTuple):
    """Options of `brainctl store compact`: the store, and the revision."""

    url: str
    revision: int
    """0 for the newest."""


def parse_compact(args: StoreArgument = None) -> Compact:
    """Drop the history of STORE before a REVISION, which is given behind it: the newest one when it is not.

    STORE is a directory or a URL, --store or --endpoints when it is missing. The space is given back in the background
    by a server, and by `store defrag` at once.
    """
    names = list(args or ())
    revision = decimal(names.pop()) if names and names[-1].isdecimal() else 0
    return Compact(_one(names, "compact"), revision)


async def compact(session: Session, plan: Compact) -> None:
    """Compact it, there or through the server that holds it."""
    async with session.open(plan.url or session.settings.store) as store:
        revision = plan.revision or (await store.status()).header.revision
        await store.compact(pb.CompactionRequest(revision=revision, physical=True))
        show(session, {"store": store.url, "compacted": str(revision)})


def parse_defrag(args: StoreArgument = None) -> str:
    """Give the space of what is dead in STORE back to its file system; of a server, while it goes on serving.

    STORE is a directory or a URL, --store or --endpoints when it is missing.
    """
    return _one(args, "defrag")


async def defrag(session: Session, url: str) -> None:
    """Reclaim everything, and say how much it was."""
    async with session.open(url or session.settings.store) as store:
        before = (await store.status()).dbSize
        await store.call("/etcdserverpb.Maintenance/Defragment", pb.DefragmentRequest(), pb.DefragmentResponse)
        after = await store.status()
        show(
            session,
            {
                "store": store.url,
                "size before": str(before),
                "size": str(after.dbSize),
                "size in use": str(after.dbSizeInUse),
            },
        )


def parse_verify(args: StoreArgument = None) -> VerifyOptions:
    """Compare two stores, STORE and another one: every key, value, revision, version and lease.

    Each is a directory or a URL. Exit code 0 says equal, 7 says different; `brainctl verify` has more ways to do it.
    """
    if args is None or len(args) != 2:
        raise BadArguments("store verify command needs two stores")
    source, target = map(store_url, args)
    return VerifyOptions(source, target, "", "", live=False, leases=True)


def _one(args: list[str] | None, name: str) -> str:
    """Return the URL of the only store that is named, "" when none is.

    Raises:
        BadArguments: several are named.
    """
    if args and len(args) > 1:
        raise BadArguments(f"store {name} command needs one store at most")
    return store_url(args[0]) if args else ""


app = group("Make a store, look at it, check it, give space back, save what is left of it.")
app.command("create")(command(parse_create, create))
app.command("info")(command(parse_info, info))
app.command("check")(command(parse_check, check))
app.command("scrub")(command(parse_scrub, scrub))
app.command("verify")(command(parse_verify, compare.run))
app.command("compact")(command(parse_compact, compact))
app.command("defrag")(command(parse_defrag, defrag))
app.command("dump")(command(parse_dump, dump))
app.command("repair")(command(parse_repair, repair))
