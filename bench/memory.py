"""What a key costs in memory: the resident memory of a server before and after keys are written and counted."""

from typing import Any

from bench.measure import loading, resident_bytes
from bench.workloads import MEMORY_VALUE
from tests.peers.servers import Server


def measure_memory(server: Server, counts: tuple[int, ...], size: int = MEMORY_VALUE) -> dict[str, dict[str, Any]]:
    """Fill an empty server up to each of `counts` keys, read all of them, and look at its memory; bytes per key."""
    empty, empty_anonymous = resident_bytes(server.pid)
    before, figures = 0, {}
    for keys in counts:
        with loading(server, ["-op=fill", f"-first={before}", f"-keys={keys}", f"-size={size}"]):
            pass
        with loading(server, ["-op=get", "-clients=10", f"-keys={keys}", "-seconds=1"]) as load:
            assert load is not None
            load.sample()
            load.end()
        resident, anonymous = resident_bytes(server.pid)
        figures[str(keys)] = {
            "resident_per_key": (resident - empty) / keys,
            "anonymous_per_key": (anonymous - empty_anonymous) / keys,
            "resident": resident,
            "empty": empty,
        }
        before = keys
    return figures
