"""What is measured. A workload is an invocation of the load generator (bench/load)."""

from typing import NamedTuple


class Workload(NamedTuple):
    """One row of the table."""

    name: str
    operation: str
    clients: int
    keys: int = 10_000
    size: int = 256
    least_bytes: int = 0
    """Control: what an operation must at least bring back, so that an empty answer is not taken for a fast one."""

    def arguments(self) -> list[str]:
        """The options of the load generator."""
        options = {"op": self.operation, "clients": self.clients, "keys": self.keys, "size": self.size}
        return [f"-{name}={value}" for name, value in options.items()]


def fill(keys: int, size: int) -> Workload:
    """Write the keys that the reads after it find."""
    return Workload("", "fill", 100, keys, size)


# In the order in which they run: reads find what the fill before them wrote.
WORKLOADS = (
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
)
