"""brainctl store info, check."""

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote

import typer

from brainctl.commands._command import command, group
from brainctl.errors import BadArguments, InvalidInput, Unsupported
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.gotext import size
from brainctl.session import Session

StoreArgument = Annotated[list[str] | None, typer.Argument(metavar="[STORE]", show_default=False)]
ALL_KEYS = b"\0"


def parse_info(args: StoreArgument = None) -> str:
    """Show what is in STORE: a directory or a URL, --store or --endpoints when it is missing."""
    if args and len(args) > 1:
        raise BadArguments("store info command needs one store at most")
    return args[0] if args else ""


async def info(session: Session, name: str) -> None:
    """Open it, or ask the server that holds it, and show what it says."""
    url = _url(name) or session.settings.store
    if url.startswith("file://"):
        _require(_directory(url))
    async with session.open(url) as store:
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
        }
    _show(session, fields)


def _show(session: Session, fields: dict[str, str]) -> None:
    match session.settings.write_out:
        case "simple":
            sizes = {name: f"{value} ({size(int(value))})" for name, value in fields.items() if name.startswith("size")}
            width = max(len(name) for name in fields) + 1
            for name, value in {**fields, **sizes}.items():
                session.say(f"{name + ':':<{width}} {value}")
        case "json":
            import orjson

            session.write(orjson.dumps({name.replace(" ", "_"): value for name, value in fields.items()}) + b"\n")
        case other:
            raise Unsupported(f"{other} not supported as output format")


def parse_check(args: StoreArgument = None) -> str:
    """Read every byte of the store in the directory STORE and check it; nothing is written.

    Ends with 12 and names the place when a byte is not what was written.
    """
    if args is None or len(args) != 1:
        raise BadArguments("store check command needs one directory")
    return args[0]


def check(session: Session, name: str) -> None:
    """Check it while nobody else has it open."""
    from brainctl.engine import lock, manifest
    from brainctl.engine.files import OsFileSystem
    from brainctl.engine.recovery import recover
    from brainctl.engine.view import EngineView

    url = _url(name)
    if not url.startswith("file://"):
        raise InvalidInput(f"cannot check {url}: only a directory has files to read")
    directory = _directory(url)
    _require(directory)
    fs = OsFileSystem()
    held = lock.take(str(directory), fs, os.getpid())
    try:
        listing = manifest.load(str(directory), fs)
        if listing is None:
            raise InvalidInput(f"there is no store in {directory}")
        found = recover(str(directory), fs, listing, repair=False)
        view = EngineView(found.index, found.segments, found.end.revision, found.end.compacted)
        keys = sum(1 for _ in view.versions(b"", None, 0))
        changes = sum(len(revision.changes) for revision in view.history(view.compacted + 1, view.revision))
    finally:
        held.release()
    _show(
        session,
        {
            "store": url,
            "state": "sound",
            "revision": str(view.revision),
            "compacted": str(view.compacted),
            "keys": str(keys),
            "changes in the history": str(changes),
            "segments": str(len(listing.segments)),
        },
    )


def _url(name: str) -> str:
    return name if not name or "://" in name else f"file://{name}"


def _directory(url: str) -> Path:
    return Path(unquote(url.removeprefix("file://")))


def _require(directory: Path) -> None:
    """Opening would make a new store, which nobody asked for."""
    from brainctl.engine import manifest

    if not (directory / manifest.NAME).exists():
        raise InvalidInput(f"there is no store in {directory}")


app = group("Look at a store on disk.")
app.command("info")(command(parse_info, info))
app.command("check")(command(parse_check, check))
