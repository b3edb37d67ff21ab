"""What a soak must be like: no error, no event lost, memory and store flat, p99 steady."""

from collections.abc import Mapping, Sequence
from statistics import fmean, linear_regression, median
from typing import Any, NamedTuple

from bench.document import number

GROWTH = 0.05
"""Memory may grow by so much of itself from the middle to the end, by its slope."""
GROWTH_BYTES = 4 << 20
"""But less than this is never growth."""
P99 = 2.0
"""How much the p99 of puts of the last quarter may be of that of the second; medians of the samples."""
P99_MS = 5.0
"""But less than this more is never slow."""
STORE = 1.5
"""The same of the size of the store."""
DESCRIPTORS = 8
"""How many more files may be open."""
ENOUGH_SECONDS = 600.0
"""In a shorter time only errors are judged: the store fills until it is compacted for the first time."""


class Moment(NamedTuple):
    """One sample. Bytes, milliseconds, processors; rates are of the time since the sample before."""

    second: float
    per_second: float
    put_p50_ms: float
    put_p99_ms: float
    events_per_second: float
    events_behind: int
    errors: int
    late: int
    """Calls that were due and had no client free, with a rate."""
    resident: int
    anonymous: int
    store: int
    descriptors: int
    cpu: float
    load_cpu: float
    others_cpu: float
    """What everything else on the machine used meanwhile."""


def faults(results: Mapping[str, Any]) -> list[str]:
    """What is not as it must be; empty when all is."""
    moments = [Moment(**moment) for moment in results["moments"]]
    end = results["end"]
    found = [f"{count} errors of {kind}" for kind, count in end["errors"].items()]
    if end["missing"]:
        found.append(f"{end['missing']} events did not arrive")
    if not end["expired"]:
        found.append("no lease ended")
    if not _is_long(moments):
        return found
    second, last = _quarter(moments, 1), _quarter(moments, 3)
    growth, mean = memory_growth(moments)
    if growth > max(GROWTH * mean, GROWTH_BYTES):
        found.append(f"memory grew by {growth / mean:.1%} in the second half")
    p99, p99_last = (median(moment.put_p99_ms for moment in quarter) for quarter in (second, last))
    if p99_last > max(P99 * p99, p99 + P99_MS):
        found.append(f"p99 of puts went from {p99:.1f} to {p99_last:.1f} ms")
    store, store_last = (median(moment.store for moment in quarter) for quarter in (second, last))
    if store_last > STORE * store:
        found.append(f"the store went from {_mib(store)} to {_mib(store_last)}")
    files, files_last = (max(moment.descriptors for moment in quarter) for quarter in (second, last))
    if files_last > files + DESCRIPTORS:
        found.append(f"open files went from {files} to {files_last}")
    return found


def memory_growth(moments: Sequence[Moment]) -> tuple[float, float]:
    """By how many bytes the resident memory grew in the second half, by its slope; and its mean there."""
    half = moments[len(moments) // 2 :]
    seconds = [moment.second for moment in half]
    slope = linear_regression(seconds, [float(moment.resident) for moment in half]).slope
    return slope * (seconds[-1] - seconds[0]), fmean(moment.resident for moment in half)


def soak_table(results: Mapping[str, Any]) -> str:
    """The run in a table."""
    moments = [Moment(**moment) for moment in results["moments"]]
    load, end, found = results["load"], results["end"], faults(results)
    rate = f"{number(load['rate'])} calls/s" if load["rate"] else "as many calls as it takes"
    rows = {
        "time": f"{moments[-1].second / 60:.1f} minutes",
        "load": f"{load['clients']} clients, {load['watchers']} watchers, {rate}",
        "machine": f"{results['processors']} processors; other programs used {_mean(moments, 'others_cpu')} of them",
        "calls": f"{number(sum(_counts(moments, 'per_second')))}, {_mean(moments, 'per_second')}/s",
        "events received": f"{number(sum(_counts(moments, 'events_per_second')))}, "
        f"{_mean(moments, 'events_per_second')}/s; {end['missing']} missing",
        "keys that ended with their lease": number(end["expired"] / 2),
        "errors": str(sum(end["errors"].values())),
        "put p50, median of the samples": f"{number(median(moment.put_p50_ms for moment in moments))} ms",
        "put p99, median and worst of the samples": f"{number(median(m.put_p99_ms for m in moments))} ms, "
        f"{number(max(moment.put_p99_ms for moment in moments))} ms",
        "CPU of the server, of the load": f"{_mean(moments, 'cpu')}, {_mean(moments, 'load_cpu')} processors",
        "resident memory, second quarter and last": _quarters(moments, "resident"),
        "store, second quarter and last": _quarters(moments, "store"),
        "open files, most": str(max(moment.descriptors for moment in moments)),
        "verdict": "; ".join(found) or ("good" if _is_long(moments) else "no error; too short for more"),
    }
    if _is_long(moments):
        growth, mean = memory_growth(moments)
        rows["growth of memory in the second half, by its slope"] = f"{growth / mean:+.1%}"
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def _quarter(moments: Sequence[Moment], which: int) -> Sequence[Moment]:
    return moments[len(moments) * which // 4 : len(moments) * (which + 1) // 4] or moments[-1:]


def _quarters(moments: Sequence[Moment], of: str) -> str:
    """Medians, in MiB."""
    values = (median(getattr(moment, of) for moment in _quarter(moments, which)) for which in (1, 3))
    return ", ".join(map(_mib, values))


def _mib(size: float) -> str:
    return f"{size / (1 << 20):.0f} MiB"


def _is_long(moments: Sequence[Moment]) -> bool:
    return len(moments) >= 8 and moments[-1].second >= ENOUGH_SECONDS


def _mean(moments: Sequence[Moment], of: str) -> str:
    return number(fmean(getattr(moment, of) for moment in moments))


def _counts(moments: Sequence[Moment], of: str) -> list[float]:
    begins = [0.0, *(moment.second for moment in moments)]
    return [getattr(m, of) * (m.second - begin) for m, begin in zip(moments, begins, strict=False)]
