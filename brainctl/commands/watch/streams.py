"""Watches on one stream, which survive the loss of the connection."""

import asyncio
import os
import shutil
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from brainctl.cli.session import Session
from brainctl.client.failure import CommandFailed
from brainctl.commands.watch.arguments import Wanted
from brainctl.errors import COMPACTED, FUTURE_REVISION, ConnectionFailed
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.gotext import quote
from brainctl.stores.store import Store

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_BROADCAST = -1
"""The watch id of an answer to a progress request: it is for every watch of the stream."""


@dataclass(slots=True)
class _Watch:
    wanted: Wanted
    next_revision: int
    """Revision at which the watch goes on after a lost connection; 0 before the server has named its revision."""

    def request(self) -> pb.WatchRequest:
        create = pb.WatchCreateRequest()
        create.CopyFrom(self.wanted.request)
        create.start_revision = self.next_revision
        return pb.WatchRequest(create_request=create)


class Watching:
    """Shows the events of watches as they come. `follow` runs it; watches may be added meanwhile."""

    def __init__(self, session: Session, store: Store) -> None:
        self._session = session
        self._store = store
        self._pending: deque[_Watch] = deque()
        self._watches: dict[int, _Watch] = {}
        self._requests: asyncio.Queue[pb.WatchRequest] = asyncio.Queue()
        self._pause = _FIRST_PAUSE
        self._connected = False

    def add(self, wanted: Wanted) -> None:
        """Start a watch."""
        watch = _Watch(wanted, wanted.request.start_revision)
        self._pending.append(watch)
        self._requests.put_nowait(watch.request())

    def request_progress(self) -> None:
        """Ask how far the watches are."""
        self._requests.put_nowait(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))

    async def follow(self, done: Callable[[], bool]) -> None:
        """Show events until `done` after the server has ended a watch. Raises ConnectionFailed when there was never a
        connection; one that is lost is made again, and no event is missed or shown twice.
        """
        while True:
            try:
                async for response in self._store.watch(self._outgoing()):
                    self._connected, self._pause = True, _FIRST_PAUSE
                    if await self._receive(response) and done():
                        return
            except ConnectionFailed:
                if not self._connected:
                    raise
            self._resume()
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    @property
    def is_empty(self) -> bool:
        """Return whether no watch is left."""
        return not self._watches and not self._pending

    async def _outgoing(self) -> AsyncIterator[pb.WatchRequest]:
        requests = self._requests
        while True:
            yield await requests.get()

    def _resume(self) -> None:
        self._pending = deque([*self._watches.values(), *self._pending])
        self._watches = {}
        self._requests = asyncio.Queue()
        for watch in self._pending:
            self._requests.put_nowait(watch.request())

    async def _receive(self, response: pb.WatchResponse) -> bool:
        """Show a response; gives whether it ended a watch."""
        if response.created:
            watch = self._pending.popleft()
            if not response.canceled:
                watch.next_revision = watch.next_revision or response.header.revision + 1
                self._watches[response.watch_id] = watch
                return False
            await self._show(watch, response)
            return True
        if response.watch_id == _BROADCAST:
            for watch in self._watches.values():
                await self._show(watch, response)
            return False
        if response.canceled:
            await self._show(self._watches.pop(response.watch_id), response)
        elif response.watch_id in self._watches:
            await self._show(self._watches[response.watch_id], response)
        return response.canceled

    async def _show(self, watch: _Watch, response: pb.WatchResponse) -> None:
        if response.canceled:
            self._session.warn(f"watch was canceled ({_reason(response)})")
        elif not response.events and response.header.revision:
            self._session.say(f"progress notify: {response.header.revision}")
        self._session.show(response)
        if response.events:
            watch.next_revision = response.events[-1].kv.mod_revision + 1
        for event in response.events if watch.wanted.command else ():
            await _run(watch.wanted.command, response.header.revision, event)


def _reason(response: pb.WatchResponse) -> str:
    if response.compact_revision:
        return COMPACTED.message
    return response.cancel_reason or FUTURE_REVISION.message


async def _run(command: tuple[str, ...], revision: int, event: kv_pb2.Event) -> None:
    """Run the command for one event.

    Raises:
        CommandFailed: It is not there, or ended with an exit code other than 0.
    """
    kind = kv_pb2.Event.EventType.Name(event.type)
    environment = {
        **os.environ,
        "ETCD_WATCH_REVISION": str(revision),
        "ETCD_WATCH_EVENT_TYPE": f'"{kind}"',
        "ETCD_WATCH_KEY": quote(event.kv.key),
        "ETCD_WATCH_VALUE": quote(event.kv.value),
    }
    sys.stdout.flush()
    if shutil.which(command[0]) is None:
        raise _failed(command, f"exec: {quote(os.fsencode(command[0]))}: executable file not found in $PATH")
    process = await asyncio.create_subprocess_exec(*command, stderr=sys.stderr, env=environment)
    code = await process.wait()
    if code:
        raise _failed(command, f"exit status {code}" if code > 0 else f"signal: {-code}")


class ChildFailed(CommandFailed):
    """The command that was to run for an event failed; the text is not an error of brainctl's own."""


def _failed(command: tuple[str, ...], reason: str) -> ChildFailed:
    words = " ".join(quote(os.fsencode(word)) for word in command)
    return ChildFailed(f"command [{words}] error ({reason})")
