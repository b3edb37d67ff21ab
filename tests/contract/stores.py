"""How each kind of store is opened for the contract. All but the memory and the etcd client need their own pieces."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from brainctl.clock import SystemClock
from brainctl.node.node import Node
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.in_process import NodeStore, open_directory
from brainctl.stores.tikv import open_tikv
from tests.support.memory import MemoryBackend

SECONDS = 120.0


class LoopBackend(MemoryBackend):
    """The reference backend, with its timers and its work on the running loop."""

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
    return NodeStore(Node(LoopBackend(), SystemClock()), "memory://")


def client(endpoint: str) -> EtcdStore:
    """The etcd client, as the commands use it."""
    return EtcdStore(EtcdTarget((endpoint,), dial_timeout=SECONDS, command_timeout=SECONDS))


def local(directory: Path) -> NodeStore:
    """The local engine in this process."""
    return open_directory(directory / "data")


async def tikv(url: str) -> NodeStore:
    """A node over TiKV in this process."""
    return await open_tikv(url)
