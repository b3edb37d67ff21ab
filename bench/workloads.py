"""What is measured. A workload is an invocation of the load generator (bench/load)."""

from typing import NamedTuple


class Workload(NamedTuple):
    """One row of a table."""

    name: str
    operation: str
    clients: int
    keys: int = 10_000
    size: int = 256
    least_bytes: int = 0
    """Control: what an operation must at least bring back, so that an empty answer is not taken for a fast one."""
    watchers: int = 100
    ttl: int = 5
    """Seconds that the events of a Kubernetes-like load live."""
    is_full: bool = False
    """Only with --full."""

    def arguments(self) -> list[str]:
        """The options of the load generator."""
        options = {"op": self.operation, "clients": self.clients, "keys": self.keys, "size": self.size}
        options |= {"watchers": self.watchers, "ttl": self.ttl}
        return [f"-{name}={value}" for name, value in options.items()]


class Section(NamedTuple):
    """Workloads that run one after the other on the same two servers, which start empty."""

    name: str
    workloads: tuple[Workload, ...]
    tls: bool = False

    def choose(self, only: str, *, full: bool) -> list[Workload]:
        """Those with `only` in their name, without `full` no others than the short ones; and what these need."""
        chosen: list[Workload] = []
        filling: list[Workload] = []
        for workload in self.workloads:
            if not workload.name:
                filling = [workload]
            elif only in workload.name and (full or not workload.is_full):
                chosen += [*filling, workload]
                filling = []
        return chosen


def fill(keys: int, size: int) -> Workload:
    """Write the keys that the reads after it find."""
    return Workload("", "fill", 100, keys, size)


def _put(size: int, label: str, clients: int, *, full: bool = False) -> Workload:
    return Workload(f"put {label}, {clients} clients", "put", clients, size=size, is_full=full)


def _get(size: int, label: str, clients: int) -> Workload:
    return Workload(f"get {label}, {clients} clients", "get", clients, 100, size, least_bytes=size, is_full=True)


# In the order in which they run: reads find what the fill before them wrote.
CORE = (
    fill(10_000, 256),
    Workload("get serializable, 1 client", "get", 1, least_bytes=256),
    Workload("get serializable, 100 clients", "get", 100, least_bytes=256),
    Workload("get serializable, 1000 clients", "get", 1000, least_bytes=256),
    Workload("get linearizable, 100 clients", "get-linear", 100, least_bytes=256),
    fill(10_000, 512),
    Workload("list 10 000 x 512 B, 4 clients", "list", 4, least_bytes=5_120_000),
    fill(100_000, 64),
    Workload("count 100 000, 4 clients", "count", 4, least_bytes=1),
    Workload("put 256 B, 1 client", "put", 1),
    Workload("put 256 B, 100 clients", "put", 100),
    Workload("put 256 B, 1000 clients", "put", 1000),
    Workload("events to 100 watchers, 10 writers", "watch", 10, least_bytes=256),
    fill(100_000, 256),
    Workload("overwrite 100 000 keys of 256 B, 100 clients", "overwrite", 100, 100_000),
    Workload("overwrite 100 000 keys of 256 B, 1000 clients", "overwrite", 1000, 100_000),
)

TLS = (
    fill(10_000, 256),
    Workload("TLS: get serializable, 1 client", "get", 1, least_bytes=256, is_full=True),
    Workload("TLS: get serializable, 100 clients", "get", 100, least_bytes=256),
    Workload("TLS: get serializable, 1000 clients", "get", 1000, least_bytes=256, is_full=True),
    fill(10_000, 512),
    Workload("TLS: list 10 000 x 512 B, 4 clients", "list", 4, least_bytes=5_120_000, is_full=True),
    Workload("TLS: put 256 B, 1 client", "put", 1, is_full=True),
    Workload("TLS: put 256 B, 100 clients", "put", 100),
    Workload("TLS: put 256 B, 1000 clients", "put", 1000, is_full=True),
    Workload("TLS: events to 100 watchers, 10 writers", "watch", 10, least_bytes=256, is_full=True),
)

SIZES = {64: "64 B", 1 << 10: "1 KiB", 16 << 10: "16 KiB", 128 << 10: "128 KiB", 1_000_000: "1 MB"}
"""Sizes of values, in bytes. A request of etcd holds 1.5 MiB at most."""
VALUES = (
    *(_put(size, label, 10 if size > 1 << 14 else 100) for size, label in SIZES.items()),
    *(
        workload
        for size, label in SIZES.items()
        for workload in (fill(100, size), _get(size, label, 10 if size > 1 << 14 else 100))
    ),
)

KUBERNETES = "Kubernetes-like, 100 clients"
MIXED = (
    Workload(KUBERNETES, "kubernetes", 100, size=1000, watchers=1000),
    Workload("Kubernetes-like, 1000 clients", "kubernetes", 1000, size=1000, watchers=1000, is_full=True),
)

SECTIONS = (Section("core", CORE), Section("tls", TLS, tls=True), Section("values", VALUES), Section("mixed", MIXED))

MEMORY_KEYS = (100_000, 1_000_000)
"""After how many keys memory is measured; only the first without --full."""
MEMORY_VALUE = 256
