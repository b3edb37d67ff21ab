"""brainctl store info, check."""

from pathlib import Path
from typing import Annotated
from urllib.parse import unquote

import typer

from brainctl.commands._command import command, group
from brainctl.errors import BadArguments, ExitCode, InvalidInput, Unsupported
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
    """Check it while nobody else has it open; what is wrong goes to standard error, a line each."""
    from brainctl.engine.check import check as prove

    url = _url(name)
    if not url.startswith("file://"):
        raise InvalidInput(f"cannot check {url}: only a directory has files to read")
    directory = _directory(url)
    _require(directory)
    report = prove(directory)
    for finding in report.findings:
        session.warn(finding)
    fields = {"store": url, "state": "damaged" if report.findings else "sound", "records": str(report.records)}
    if report.info is not None:
        info = report.info
        fields |= {
            "revision": str(info.revision),
            "compacted": str(info.compacted),
            "keys": str(info.keys),
            "segments": str(len(info.segments)),
        }
    _show(session, fields)
    if report.findings:
        raise typer.Exit(ExitCode.DAMAGED)


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
