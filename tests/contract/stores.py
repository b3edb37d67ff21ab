"""How each kind of store is opened for the contract."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from brainctl.clock import SystemClock
from brainctl.node.node import Node
from brainctl.stores.embedded import NodeStore
from tests.support.memory import MemoryMedium


class LoopMedium(MemoryMedium):
    """The reference medium, with its timers and its work on the running loop."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: set[asyncio.Future[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, action)


def memory() -> NodeStore:
    """Every version of every key in a dict: the rules without an engine."""
    return NodeStore(Node(LoopMedium(), SystemClock()), "memory://")
