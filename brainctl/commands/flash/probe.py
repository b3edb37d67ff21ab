"""brainctl flash probe."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from brainctl.cli.byte_sizes import read_bytes
from brainctl.cli.session import Session
from brainctl.cli.settings import read_duration
from brainctl.clock import SystemClock
from brainctl.errors import BadArguments, ExitCode, InvalidInput, Unsupported
from brainctl.output.gotext import size as in_units

if TYPE_CHECKING:
    from brainctl.flash.device import Device
    from brainctl.flash.probe import Case, Latencies, Measured

LEAST_SECONDS, MOST_SECONDS = 1.0, 600.0
LEAST_BYTES = 8 << 20
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


class Probe(NamedTuple):
    """Options of `brainctl flash probe`: the directory to measure, and the limits."""

    directory: Path
    seconds: float
    size: int
    require: str
    plot: Path | None


def parse_probe(
    args: Annotated[list[str] | None, typer.Argument(metavar="DIR", show_default=False)] = None,
    seconds: Annotated[str, typer.Option("--seconds", metavar="duration", help="time to measure for")] = "10s",
    size: Annotated[str, typer.Option("--size", metavar="bytes", help="maximum number of bytes to write")] = "256M",
    require: Annotated[
        str,
        typer.Option(
            "--require",
            metavar="etcd|heavy",
            help="exit with 17 when the disk is too slow for etcd, or for a heavy load",
        ),
    ] = "",
    plot: Annotated[
        str, typer.Option("--plot", metavar="FILE", help="file to draw the distributions into, .svg or .png")
    ] = "",
) -> Probe:
    """Measure how fast the disk under the directory DIR makes writes durable, and say what load it carries.

    Writes of several sizes, each with an fdatasync, behind the end of a file and into prepared space; then sequential
    writing. Compared with what etcd asks for: 99 of 100 fdatasyncs within 10 ms, commits within 25 ms, 50 sequential
    writes per second, and 500 for a heavy load (--require heavy). Its file has no name and is gone afterwards, however
    it ends. Other load on the disk counts: measure it as it will be used.
    """
    if args is None or len(args) != 1:
        raise BadArguments("flash probe command needs one directory")
    if not args[0]:
        raise BadArguments("flash probe: the name of the directory is empty")
    if require not in ("", "etcd", "heavy"):
        raise BadArguments(f"--require: {require!r} is neither etcd nor heavy")
    time = read_duration(seconds + "s" if seconds.replace(".", "", 1).isdecimal() else seconds, "--seconds")
    if not LEAST_SECONDS <= time <= MOST_SECONDS:
        raise BadArguments(f"--seconds must be {LEAST_SECONDS:g} to {MOST_SECONDS:g}")
    limit = read_bytes(size, "--size")
    if limit < LEAST_BYTES:
        raise BadArguments(f"--size must be {LEAST_BYTES >> 20}M at least")
    return Probe(Path(args[0]), time, limit, require, Path(plot) if plot else None)


def probe(session: Session, plan: Probe) -> None:
    """Measure, show, judge."""
    from random import SystemRandom

    from brainctl.flash import verdict
    from brainctl.flash.device import look
    from brainctl.flash.probe import probe as measure

    if session.settings.write_out not in ("simple", "json"):
        raise Unsupported(f"{session.settings.write_out} not supported as output format")
    if not plan.directory.is_dir():
        raise InvalidInput(f"{plan.directory} is no directory")
    free = shutil.disk_usage(plan.directory).free
    if plan.size > free // 2:
        raise InvalidInput(f"--size {plan.size}: {plan.directory} has {in_units(free)} free; half of that is the most")
    device = look(plan.directory)
    measured = measure(plan.directory, SystemClock(), plan.seconds, plan.size, SystemRandom())
    if session.settings.write_out == "json":
        session.write(_json(plan, device, measured))
    else:
        session.write(_text(plan, device, measured))
    if plan.plot is not None:
        _draw(plan.plot, device, measured)
    missed = verdict.failed(verdict.checks(measured), plan.require) if plan.require else []
    if missed:
        raise typer.Exit(ExitCode.TOO_SLOW)


def _text(plan: Probe, device: "Device", measured: "Measured") -> bytes:
    from brainctl.flash import verdict

    model = f" ({device.model})" if device.model else ""
    lines = [f"{plan.directory}: {device.file_system or 'unknown file system'} at {device.mount_point or '?'}"]
    lines += [f"  mount options    {device.mount_options}"] if device.mount_options else []
    lines += [f"  disk             {device.block}{model}"] if device.block else []
    lines += [f"  {name:<16} {value}" for name, value in device.queue.items()]
    lines += [f"  {'punches holes':<16} {'yes' if measured.punches else 'no'}", ""]
    lines.append(
        f"{'write, then fdatasync':<26}{'count':>7}" + "".join(f"{name:>10}" for name in PERCENTILES) + "    per s"
    )
    lines += [_row(case, found) for case, found in measured.cases.items()]
    lines += [f"sequential writing        {in_units(round(measured.stream_bytes_per_second))}/s", ""]
    for check in verdict.checks(measured):
        asked = "less than" if check.unit == "ms" else "at least"
        verdict_word = "pass" if check.passed else "FAIL"
        lines.append(
            f"{verdict_word}: {check.what}: {check.found:.4g} {check.unit}; {asked} {check.limit:g} is asked for"
        )
    lines += ["", *(f"* {words}" for words in [*verdict.sentences(measured, device), *device.remarks()])]
    return "\n".join(lines).encode() + b"\n"


def _row(case: "Case", found: "Latencies") -> str:
    times = "".join(f"{found.at(share) * 1000:>7.2f} ms" for share in PERCENTILES.values())
    return f"  {_name(case):<24}{len(found.seconds):>7}{times}{found.per_second:>9.0f}"


def _name(case: "Case") -> str:
    size = f"{case.size} B" if case.size < 4096 else f"{case.size >> 10} KiB"
    place = {"new": "appended", "prepared": "prepared space", "shifted": "across blocks"}[case.place]
    return f"{size:>7} {place}"


def _json(plan: Probe, device: "Device", measured: "Measured") -> bytes:
    import orjson

    from brainctl.flash import verdict

    fields = {
        "directory": str(plan.directory),
        "file_system": device.file_system,
        "mount_point": device.mount_point,
        "mount_options": device.mount_options,
        "disk": device.block,
        "model": device.model,
        "queue": device.queue,
        "punches_holes": measured.punches,
        "syncs": [
            {
                "place": case.place,
                "bytes": str(case.size),
                "count": str(len(found.seconds)),
                "per_second": found.per_second,
                "milliseconds": {name: found.at(share) * 1000 for name, share in PERCENTILES.items()},
            }
            for case, found in measured.cases.items()
        ],
        "sequential_bytes_per_second": measured.stream_bytes_per_second,
        "written_bytes": str(measured.bytes),
        "seconds": measured.seconds,
        "checks": [
            {"what": c.what, "found": c.found, "limit": c.limit, "unit": c.unit, "level": c.level, "passed": c.passed}
            for c in verdict.checks(measured)
        ],
        "words": [*verdict.sentences(measured, device), *device.remarks()],
    }
    return orjson.dumps(fields) + b"\n"


def _draw(path: Path, device: "Device", measured: "Measured") -> None:
    from brainctl.output import plot

    series = {}
    for case, found in measured.cases.items():
        shares = [(at + 1) / len(found.seconds) for at in range(len(found.seconds))]
        series[_name(case).strip()] = ([second * 1000 for second in found.seconds], shares)
    title = f"Write and fdatasync on {device.block or device.file_system}"
    plot.lines(path, title, "milliseconds", "share of the writes", series, log="x")
