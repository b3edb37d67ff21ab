"""brainctl store check, dump, repair: the files of a store in a directory of this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from brainctl.cli.progress import megabytes, progress
from brainctl.cli.session import Session
from brainctl.cli.settings import read_int
from brainctl.commands.store.fields import StoreArgument, show, store_url
from brainctl.errors import RESTORE, BadArguments, ExitCode, InvalidInput, StoreInUse, Unsupported
from brainctl.output.gotext import quote
from brainctl.stores.urls import directory_of

if TYPE_CHECKING:
    from brainctl.engine.offline.dump import Entry, Value
    from brainctl.engine.offline.repair import LostVersion, Repaired


def parse_check(args: StoreArgument = None) -> Path:
    """Read every byte of the store in the directory STORE and prove it; nothing is written.

    Proved are all CRCs, the order of revisions, the chain of versions of each key, and that the index on the disk says
    what the log says. Ends with 12 and names file and offset when a byte is not what was written. No process may have
    the store open: `store scrub` reads the store of a server that is running.
    """
    return _directory(args, "check")


def check(session: Session, directory: Path) -> None:
    """Check it while nobody else has it open; what is wrong goes to standard error, a line each."""
    from brainctl.engine.offline.check import check as prove
    from brainctl.engine.recovery.store_directory import must_be_store
    from brainctl.mvcc.record_names import CHECKPOINT

    must_be_store(directory)
    try:
        with progress("checking", megabytes) as shown:
            report = prove(directory, progress=shown)
    except StoreInUse as error:
        text = "`brainctl store scrub` reads the store of a server that is running; stop any other process first"
        raise StoreInUse(str(error)).advised(text) from None
    if report.info is not None:
        session.admission.to_read(report.info.records.get(CHECKPOINT), f"file://{directory}")
    for finding in report.findings:
        session.warn(finding)
    state = "damaged" if report.findings else "sound"
    fields = {"store": f"file://{directory}", "state": state, "records": str(report.records)}
    if report.info is not None:
        info = report.info
        fields |= {
            "revision": str(info.revision),
            "compacted": str(info.compacted),
            "keys": str(info.keys),
            "segments": str(len(info.segments)),
        }
    show(session, fields)
    if report.findings:
        session.warn(f"next: {RESTORE}")
        raise typer.Exit(ExitCode.DAMAGED)


# -- dump -------------------------------------------------------------------------------------------------------


class Dump(NamedTuple):
    """Options of `brainctl store dump`."""

    directory: Path
    file: str


def parse_dump(
    args: StoreArgument = None,
    file: Annotated[str, typer.Option("--file", metavar="NAME", help="dump only this file of the directory")] = "",
) -> Dump:
    """Print every structure in the files of the store in the directory STORE, one to a line, with file and offset.

    A line is FILE:OFFSET+LENGTH, the kind of the structure and its fields, as docs/formats describes them; with
    -w json, an object. Damage does not end it: what is not sound is a line of the kind "damaged", and the exit code is
    12 then. A store that is being served may be dumped too; its last batch may then be shown half written.
    """
    return Dump(_directory(args, "dump"), file)


def dump(session: Session, plan: Dump) -> None:
    """Print it."""
    from brainctl.backup.point_in_time import newest_records
    from brainctl.engine.offline import dump as engine_dump
    from brainctl.engine.recovery.store_directory import has_pieces, no_store
    from brainctl.engine.vfs.filesystem import OsFileSystem
    from brainctl.mvcc.record_names import CHECKPOINT

    if session.settings.write_out not in ("simple", "json"):
        raise Unsupported(f"{session.settings.write_out} not supported as output format")
    if not has_pieces(plan.directory):
        raise no_store(plan.directory)
    session.admission.to_read(newest_records(plan.directory).get(CHECKPOINT), f"file://{plan.directory}")
    line = _json_line if session.settings.write_out == "json" else text_line
    damaged = False
    for entry in engine_dump.dump(str(plan.directory), OsFileSystem(), plan.file):
        session.write(line(entry))
        damaged = damaged or entry.kind == engine_dump.DAMAGED
    if damaged:
        raise typer.Exit(ExitCode.DAMAGED)


def text_line(entry: "Entry") -> bytes:
    """Return the line of a structure: FILE:OFFSET+LENGTH, its kind, its fields."""
    place = f"{entry.file}:{entry.offset}" + (f"+{entry.length}" if entry.length else "")
    fields = "".join(f" {name}={_text(value)}" for name, value in entry.fields.items())
    return f"{place} {entry.kind}{fields}\n".encode()


def _text(value: "Value") -> str:
    match value:
        case bytes():
            return quote(value)
        case bool():
            return "yes" if value else "no"
        case str() if " " in value or not value:
            return quote(value.encode())
        case _:
            return str(value)


def _json_line(entry: "Entry") -> bytes:
    from base64 import b64encode

    import orjson

    fields: dict[str, str | bool] = {"file": entry.file, "offset": str(entry.offset), "length": str(entry.length)}
    fields["kind"] = entry.kind
    for name, value in entry.fields.items():
        shown = (
            value if isinstance(value, bool) else b64encode(value).decode() if isinstance(value, bytes) else str(value)
        )
        fields[name if name not in fields else f"{entry.kind}_{name}"] = shown
    return orjson.dumps(fields) + b"\n"


# -- repair -----------------------------------------------------------------------------------------------------


class Repair(NamedTuple):
    """Options of `brainctl store repair`: the store, and the new one."""

    directory: Path
    into: Path
    bump: int


def parse_repair(
    args: StoreArgument = None,
    into: Annotated[str, typer.Option("--into", metavar="DIR", help="directory of the new store")] = "",
    bump_revision: Annotated[
        str,
        typer.Option(
            "--bump-revision", metavar="uint", help="raise the revision by this number, and compact at the new one"
        ),
    ] = "0",
) -> Repair:
    """Save everything that can be read of the store in the directory STORE into a new one, and list what was lost.

    STORE is only read. Each stretch of a file that was lost is listed with the revisions that may have been in it, and
    each version of a key that is known to be lost with what stands in its place. Ends with 7 when anything was lost,
    with 0 when nothing was.
    """
    if not into:
        raise BadArguments("store repair needs --into DIR")
    bump = read_int(bump_revision, "--bump-revision")
    if bump < 0:
        raise BadArguments("--bump-revision: a revision does not go back")
    return Repair(_directory(args, "repair"), Path(into), bump)


def repair(session: Session, plan: Repair) -> None:
    """Save it, and report on standard output."""
    from brainctl.engine.offline.info import read_info
    from brainctl.engine.offline.repair import repair as save
    from brainctl.engine.recovery.store_directory import has_pieces, no_store
    from brainctl.mvcc.record_names import CHECKPOINT

    if session.settings.write_out not in ("simple", "json"):
        raise Unsupported(f"{session.settings.write_out} not supported as output format")
    if not has_pieces(plan.directory):
        raise no_store(plan.directory)
    done = save(str(plan.directory), plan.into, plan.bump)
    session.admission.to_read(read_info(plan.into).records.get(CHECKPOINT), f"file://{plan.into}")
    session.write(_repaired_json(plan, done) if session.settings.write_out == "json" else _repaired_text(plan, done))
    if not done.complete:
        raise typer.Exit(ExitCode.DIFFERENT)


def _repaired_text(plan: Repair, done: "Repaired") -> bytes:
    lines = [f"note: {finding}" for finding in done.findings]
    for loss in done.losses:
        where = _revisions(loss.first, loss.last) if loss.first else "no revision, but perhaps small records"
        lines.append(f"lost: {loss.file}:{loss.offset}+{loss.length}: {where}")
    for version in done.versions:
        where = _revisions(version.first, version.last)
        lines.append(f"lost: {version.file}:{version.offset}: {where}: {_version(version)}")
    lines.append(
        f"{'complete' if done.complete else 'incomplete'}: revision {done.revision} with {done.keys} keys, "
        f"history from {done.compacted} on, of {done.records} records, in {plan.into}"
    )
    return "\n".join(lines).encode(errors="surrogateescape") + b"\n"


def _revisions(first: int, last: int) -> str:
    if not last:
        return f"revisions from {first} on"
    return f"in revision {first}" if first == last else f"in revisions {first} to {last}"


def _version(version: "LostVersion") -> str:
    key = quote(version.key)
    if version.newer:
        return f"a version of {key}, before that of revision {version.kept}, which is saved"
    if version.kept:
        return f"the newest version of {key}; the one of revision {version.kept} stands in its place"
    return f"the only version of {key}"


def _repaired_json(plan: Repair, done: "Repaired") -> bytes:
    from base64 import b64encode

    import orjson

    fields = {
        "store": str(plan.into),
        "complete": done.complete,
        "revision": str(done.revision),
        "compacted": str(done.compacted),
        "keys": str(done.keys),
        "records": str(done.records),
        "notes": done.findings,
        "lost": [
            {
                "file": loss.file,
                "offset": str(loss.offset),
                "length": str(loss.length),
                "first_revision": str(loss.first),
                "last_revision": str(loss.last),
            }
            for loss in done.losses
        ],
        "lost_versions": [
            {
                "key": b64encode(version.key).decode(),
                "file": version.file,
                "offset": str(version.offset),
                "first_revision": str(version.first),
                "last_revision": str(version.last),
                "kept_revision": str(version.kept),
                "kept_is_newer": version.newer,
            }
            for version in done.versions
        ],
    }
    return orjson.dumps(fields) + b"\n"


def _directory(args: list[str] | None, name: str) -> Path:
    if args is None or len(args) != 1:
        raise BadArguments(f"store {name} command needs one directory")
    url = store_url(args[0])
    directory = directory_of(url)
    if directory is None:
        raise InvalidInput(f"cannot {name} {url}: only a directory has files to read")
    return directory
