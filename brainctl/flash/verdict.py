"""What the figures of a probe mean: etcd's thresholds, and the load that a store may carry here."""

from typing import NamedTuple

from brainctl.flash.device import Device
from brainctl.flash.probe import NEW, PREPARED, SHIFTED, Case, Measured

FSYNC_SECONDS = 0.010
"""99 of 100 fdatasyncs of etcd's log may take so long (etcd op-guide, FAQ)."""
COMMIT_SECONDS = 0.025
"""And 99 of 100 commits of its backend."""
IOPS, HEAVY_IOPS = 50, 500
"""Sequential writes per second that etcd asks for, and for a heavy load."""
_ETCD_LOG = Case(NEW, 2300)
_ETCD_COMMIT = Case(NEW, 64 << 10)
_BATCH = Case(PREPARED, 2300)
"""A put of 1 KiB and more alone, as the engine writes it."""
_GROUP = Case(PREPARED, 64 << 10)
_PUT_BYTES = 1536
"""A put of 1 KiB in the log."""
_TOO_FAST = 20e-6
"""No flush of a real medium is done in less."""
LEVELS = {"etcd": IOPS, "heavy": HEAVY_IOPS}
"""By name of a level that can be required: the sequential writes per second."""


class Check(NamedTuple):
    """One threshold."""

    what: str
    found: float
    limit: float
    unit: str
    """"ms", of which less is better, or "/s", of which more is."""
    level: str
    """The lowest level that wants it."""

    @property
    def passed(self) -> bool:
        """Whether the medium is good enough."""
        return self.found < self.limit if self.unit == "ms" else self.found >= self.limit


def checks(measured: Measured) -> list[Check]:
    """Each threshold of etcd and what was found."""
    log, commit = measured.cases[_ETCD_LOG], measured.cases[_ETCD_COMMIT]
    return [
        Check("fdatasync of 2300 bytes, p99", log.at(0.99) * 1000, FSYNC_SECONDS * 1000, "ms", "etcd"),
        Check("commit of 64 KiB, p99", commit.at(0.99) * 1000, COMMIT_SECONDS * 1000, "ms", "etcd"),
        Check("sequential writes, each synced", log.per_second, IOPS, "/s", "etcd"),
        Check("the same, for a heavy load", log.per_second, HEAVY_IOPS, "/s", "heavy"),
    ]


def failed(found: list[Check], level: str) -> list[Check]:
    """The thresholds of a level that were missed."""
    wanted = {"etcd"} if level == "etcd" else {"etcd", "heavy"}
    return [check for check in found if check.level in wanted and not check.passed]


def sentences(measured: Measured, device: Device) -> list[str]:
    """What load the medium carries, in words; as far as it is up to the medium."""
    one, group = measured.cases[_BATCH], measured.cases[_GROUP]
    appended = measured.cases[_ETCD_LOG]
    clients = (64 << 10) // _PUT_BYTES
    stream = measured.stream_bytes_per_second / _PUT_BYTES
    together = min(clients * group.per_second, stream)
    filled = f"{_round(stream)} is where the medium is full; the processor may be the bound before"
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
            f"half of the syncs took under {one.at(0.5) * 1e6:.0f} us: something between here and the medium does not "
            "flush, so power loss may lose what was acknowledged"
        )
    return words


def _verdict(measured: Measured) -> str:
    found = checks(measured)
    if not failed(found, "heavy"):
        return "good for a heavily loaded etcd, or many of them"
    if not failed(found, "etcd"):
        return "good for an etcd of moderate load; not for thousands of writes per second"
    return "too slow for etcd: leases and elections of whoever depends on it will time out under load"


def _round(number: float) -> str:
    """Two digits that count."""
    digits = max(len(str(int(number))) - 2, 0)
    return f"{round(number, -digits):,.0f}"
