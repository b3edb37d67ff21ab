"""Which faults happen, in which order: a pure function of a seed."""

from random import Random
from typing import NamedTuple

WORKLOADS = ("kv", "kubernetes", "lease", "watch", "lock")
KINDS = (
    "kill",
    "stop",
    "pause",
    "blink",
    "cut store",
    "freeze store",
    "cut driver",
    "freeze driver",
    "isolate",
    "cut peers",
    "freeze peers",
    "no driver",
)
"""What can happen: see `Cluster`."""
LINKED = frozenset(kind for kind in KINDS if kind.partition(" ")[0] in ("cut", "freeze", "isolate", "no"))
"""Faults of connections, which need proxies before the cluster."""


class Step(NamedTuple):
    """One fault, from which the service recovers before the next one."""

    kind: str
    leader: bool
    """Whether it befalls the instance that leads then, or one that follows."""
    before: int
    """Operations that are answered before it."""
    during: int
    """Operations that are answered by anybody before it ends, once the lead has gone to another if it must."""
    seconds: float
    """How long a fault lasts that may let nothing be answered."""


class Schedule(NamedTuple):
    """Faults of one recording, and what its clients do."""

    workload: str
    steps: tuple[Step, ...]


def schedule(seed: int, count: int, *, linked: bool = True) -> Schedule:
    """Return `count` faults; with `linked` those of connections are among them."""
    random = Random(seed)
    kinds = [kind for kind in KINDS if linked or kind not in LINKED]
    steps = [
        Step(
            random.choice(kinds),
            random.random() < 0.6,
            random.randint(5, 80),
            random.randint(5, 60),
            round(random.uniform(0.05, 2.0), 2),
        )
        for _ in range(count)
    ]
    return Schedule(WORKLOADS[seed % len(WORKLOADS)], tuple(steps))
