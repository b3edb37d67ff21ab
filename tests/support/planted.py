"""`brainctl serve` with a fault that was put in, for controls: `python -m tests.support.planted FAULT serve FLAGS`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brainctl.cli.main import run
from brainctl.mvcc import txn, watch_hub
from brainctl.mvcc.watch_stream import WatchStream
from tests.peers.servers import Brainctl


def compare() -> None:
    """A comparison with a range looks at its first key only."""
    holds = txn.holds

    def first(request: Any, stretches: Any) -> Any:
        return holds(request, lambda *of: [[version for stretch in stretches(*of) for version in stretch][:1]])

    txn.holds = first


def previous() -> None:
    """The event of a deletion comes without what was deleted."""
    event = watch_hub.event
    watch_hub.event = lambda change, before=None: event(change, before if change.version else None)


def unpaused() -> None:
    """A watch stream goes on sending to a client that does not read."""
    WatchStream.pause = lambda _: None


FAULTS: dict[str, Callable[[], None]] = {fault.__name__: fault for fault in (compare, previous, unpaused)}


class Planted(Brainctl):
    """A server with one of the faults."""

    fault: str

    def argv(self) -> list[str]:
        return [sys.executable, "-m", "tests.support.planted", self.fault, *super().argv()[3:]]


def with_fault(name: str) -> Callable[[Path], Brainctl]:
    return type("Faulty", (Planted,), {"fault": name})


if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    sys.exit(run(sys.argv[2:]))
