"""What the figures of a probe mean: etcd's thresholds, and the load that a store can carry here."""

from typing import NamedTuple

from brainctl.flash.device import Device
from brainctl.flash.probe import NEW, PREPARED, SHIFTED, Case, Measured

FSYNC_SECONDS = 0.010
"""The p99 that etcd allows for fdatasyncs of its log, in seconds (etcd op-guide, FAQ)."""
COMMIT_SECONDS = 0.025
"""The p99 that etcd allows for commits of its backend, in seconds."""
IOPS, HEAVY_IOPS = 50, 500
"""The sequential writes per second that etcd requires, and those for a heavy load."""
_ETCD_LOG = Case(NEW, 2300)
"""The write of etcd's log: the size that etcd recommends for fio."""
_ETCD_COMMIT = Case(NEW, 64 << 10)
"""A commit of etcd's backend."""
_BATCH = Case(PREPARED, 2300)
"""A single put of somewhat more than 1 KiB, as the engine writes it."""
_GROUP = Case(PREPARED, 64 << 10)
"""A group commit of many puts, as the engine writes it."""
_PUT_BYTES = 1536
"""The bytes that a put of 1 KiB takes in the log."""
_TOO_FAST = 20e-6
"""No flush of a real disk takes less than this, in seconds."""
LEVELS = {"etcd": IOPS, "heavy": HEAVY_IOPS}
"""The sequential writes per second, by name of a level that can be required."""


class Check(NamedTuple):
    """One threshold."""

    what: str
    found: float
    limit: float
    unit: str
    """Either ms, of which less is better, or /s, of which more is better."""
    level: str
    """The lowest level that requires it."""

    @property
    def passed(self) -> bool:
        """Return whether the disk is good enough."""
        return self.found < self.limit if self.unit == "ms" else self.found >= self.limit


def checks(measured: Measured) -> list[Check]:
    """Return each threshold of etcd with the measured value."""
    log, commit = measured.cases[_ETCD_LOG], measured.cases[_ETCD_COMMIT]
    return [
        Check("fdatasync of 2300 bytes, p99", log.at(0.99) * 1000, FSYNC_SECONDS * 1000, "ms", "etcd"),
        Check("commit of 64 KiB, p99", commit.at(0.99) * 1000, COMMIT_SECONDS * 1000, "ms", "etcd"),
        Check("sequential writes, each synced", log.per_second, IOPS, "/s", "etcd"),
        Check("the same, for a heavy load", log.per_second, HEAVY_IOPS, "/s", "heavy"),
    ]


def failed(found: list[Check], level: str) -> list[Check]:
    """Return the thresholds of a level that were missed."""
    wanted = {"etcd"} if level == "etcd" else {"etcd", "heavy"}
    return [check for check in found if check.level in wanted and not check.passed]


def sentences(measured: Measured, device: Device) -> list[str]:
    """Return in words what load the disk can carry, as far as the disk is the bound."""
    one, group = measured.cases[_BATCH], measured.cases[_GROUP]
    appended = measured.cases[_ETCD_LOG]
    clients = (64 << 10) // _PUT_BYTES
    stream = measured.stream_bytes_per_second / _PUT_BYTES
    together = min(clients * group.per_second, stream)
    filled = f"{_round(stream)} is where the disk is saturated; the processor may be the bound before"
    words = [
        f"one client that waits for each put: about {_round(one.per_second)} puts/s of 1 KiB",
        f"{clients} clients at once, one group commit each time: up to {_round(together)} puts/s; {filled}",
        _verdict(measured),
    ]
    if one.at(0.5) and appended.at(0.5):
        ratio = one.at(0.5) / appended.at(0.5)
        words.append(f"writing into prepared space, as brainctl does, takes {ratio:.2f} times as long as appending")
    aligned, shifted = measured.cases[Case(PREPARED, 4096)], measured.cases[Case(SHIFTED, 4096)]
    if aligned.at(0.5) and shifted.at(0.5):
        words.append(
            f"4 KiB across two blocks take {shifted.at(0.5) / aligned.at(0.5):.2f} times as long as in one block"
        )
    if not device.is_memory and one.at(0.5) < _TOO_FAST:
        words.append(
            f"half of the syncs took under {one.at(0.5) * 1e6:.0f} us: something between here and the disk does not "
            "flush, so power loss may lose what was acknowledged"
        )
    return words


def _verdict(measured: Measured) -> str:
    """Return in a sentence which load of etcd the disk is good for."""
    found = checks(measured)
    if not failed(found, "heavy"):
        return "good for a heavily loaded etcd, or many of them"
    if not failed(found, "etcd"):
        return "good for an etcd of moderate load; not for thousands of writes per second"
    return "too slow for etcd: leases and elections of whoever depends on it will time out under load"


def _round(number: float) -> str:
    """Return a number rounded to two significant digits."""
    digits = max(len(str(int(number))) - 2, 0)
    return f"{round(number, -digits):,.0f}"
