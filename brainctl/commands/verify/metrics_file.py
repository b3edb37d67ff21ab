"""The file of --metrics: what comparisons found, for the textfile collector of Prometheus' node_exporter."""

from typing import TYPE_CHECKING

from brainctl.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from brainctl.verify.compare import Report

SIDES = ("from", "to")


def write_metrics(name: str, rounds: int, found: "Sequence[tuple[tuple[str, str], Report]]", now: float) -> None:
    """Write the figures of a round to a file, which is replaced as a whole: a scrape never reads a part of it.

    Args:
        name: The file, ending with `.prom`, else node_exporter does not read it.
        rounds: Comparisons of all pairs since the process began, this one included.
        found: The names of both stores, and the report, for each pair.
        now: Seconds since 1970.

    Raises:
        InvalidInput: The file cannot be written.
    """
    from prometheus_client import CollectorRegistry, Counter, Gauge, write_to_textfile

    registry = CollectorRegistry()

    def gauge(metric: str, help_text: str, *more: str) -> Gauge:
        return Gauge(f"brainctl_verify_{metric}", help_text, [*SIDES, *more], registry=registry)

    counter = Counter("brainctl_verify_rounds", "Comparisons of all pairs since the process began.", registry=registry)
    counter.inc(rounds)
    different = gauge("differences", "Differences found by the last comparison; 0 means equal.")
    ended = gauge("end_timestamp_seconds", "Time at which the last comparison ended.")
    took = gauge("duration_seconds", "Duration of the last comparison.")
    keys = gauge("keys", "Keys that were compared.")
    size = gauge("bytes", "Bytes of the keys and values that were compared.")
    at = gauge("revision", "Revision at which both stores were compared.")
    newest = gauge("newest_revision", "Newest revision of a store when the comparison began.", "store")
    for names, report in found:
        different.labels(*names).set(report.different)
        ended.labels(*names).set(now)
        took.labels(*names).set(report.seconds)
        keys.labels(*names).set(report.keys)
        size.labels(*names).set(report.bytes)
        at.labels(*names).set(report.revision)
        for side, revision in zip(SIDES, report.newest, strict=True):
            newest.labels(*names, side).set(revision)
    try:
        write_to_textfile(name, registry)
    except OSError as error:
        raise InvalidInput(f"cannot write the metrics to {name}: {error.strerror}") from error
