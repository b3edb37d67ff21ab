"""Watches of a recording: streams with random ranges, beginnings and filters, and all that they deliver."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import cast

from brainctl.check.file import bytes_of
from brainctl.check.line import Line
from brainctl.client.recorder.client import Shared
from brainctl.client.recorder.requests import event_fields
from brainctl.errors import BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store

PROGRESS_SECONDS = 0.3
"""Seconds between two requests for progress of a watch."""
SHORT_SECONDS = (0.5, 3.0)
"""Seconds for which a watch of a random range lives."""
RETRY_SECONDS = 0.2
BACK_REVISIONS = 100
FORWARD_REVISIONS = 5
"""Revisions behind and in front of the newest known one at which a watch begins."""
_FILTERS = {"noput": pb.WatchCreateRequest.NOPUT, "nodelete": pb.WatchCreateRequest.NODELETE}


class Watcher:
    """Watches one endpoint."""

    def __init__(self, shared: Shared, endpoint: int, store: Store) -> None:
        self.reached = 0
        """The newest revision that the present watch has reported as reached."""
        self._moved = asyncio.Event()
        self._shared = shared
        self._endpoint = endpoint
        self._store = store

    async def whole(self, start: int, *, prev_kv: bool) -> None:
        """Watch the whole prefix from `start` on until cancelled; go on where it was when the stream breaks."""
        self.reached = start - 1
        while True:
            await self._run({"start": self.reached + 1, "prev_kv": prev_kv, **self._prefix()})
            await asyncio.sleep(RETRY_SECONDS)

    async def reach(self, revision: int) -> None:
        """Wait until the present watch has reported a revision as reached."""
        while self.reached < revision:
            self._moved.clear()
            await self._moved.wait()

    async def parts(self) -> None:
        """Watch one random part of the prefix after the other until cancelled."""
        while True:
            random = self._shared.random
            with suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(*SHORT_SECONDS)):
                    await self._run(self._part())
            await asyncio.sleep(RETRY_SECONDS)

    def _prefix(self) -> Line:
        prefix = self._shared.prefix
        return {"key": prefix, "end": f"{prefix[:-1]}0"}

    def _part(self) -> Line:
        """Return what a watch of a random part asks for."""
        random, prefix = self._shared.random, self._shared.prefix
        newest = self._shared.revision
        start = random.choice(
            (0, max(self._shared.first + 1, newest + random.randint(-BACK_REVISIONS, FORWARD_REVISIONS)))
        )
        names = sorted(f"{prefix}{letter}" for letter in random.sample("abcdefghijklmnopqrstuvwxyz", 2))
        known = sorted(self._shared.mods) or [prefix]
        one: Line = {"key": random.choice(known), "end": ""}
        some: Line = {"key": names[0], "end": names[1]}
        part = random.choice((self._prefix(), one, some))
        filters: list[str] = random.choice(([], [], ["noput"], ["nodelete"]))
        return {**part, "start": start, "prev_kv": random.random() < 0.5, "filters": filters}

    async def _run(self, wanted: Line) -> None:
        """Watch until the stream ends."""
        shared, number = self._shared, next(self._shared.numbers)
        tape = shared.tape
        place: Line = {"op": "watch", "watch": number, "client": number, "endpoint": self._endpoint}
        tape.add({**place, "time": tape.now(), **wanted})
        reason, lost = "ended by the recorder", False
        try:
            stream = cast("AsyncGenerator[pb.WatchResponse]", self._store.watch(_requests(wanted)))
            async with aclosing(stream) as responses:
                async for response in responses:
                    self._add_response(number, response)
                    if response.canceled:
                        reason = ""
                        return
            reason, lost = "ended by the server", True
        except BrainctlError as error:
            reason, lost = str(error), True
        finally:
            if reason:  # else the server has said so
                end: Line = {"op": "notify", "watch": number, "time": tape.now(), "rev": 0}
                tape.add({**end, "canceled": True, "lost": lost, "reason": reason})

    def _add_response(self, number: int, response: pb.WatchResponse) -> None:
        line: Line = {"op": "notify", "watch": number, "time": self._shared.tape.now(), "rev": response.header.revision}
        if response.created:
            line["created"] = True
        elif response.events:
            line["events"] = [event_fields(event) for event in response.events]
            self.reached = max(self.reached, response.events[-1].kv.mod_revision)
        elif not response.canceled:
            line["progress"] = True
            self.reached = max(self.reached, response.header.revision)
        if response.canceled:
            line |= {"canceled": True, "compact": response.compact_revision, "reason": response.cancel_reason}
            self.reached = max(self.reached, response.compact_revision - 1)
        self._moved.set()
        self._shared.tape.add(line)


async def _requests(wanted: Line) -> AsyncIterator[pb.WatchRequest]:
    """Yield the request that creates a watch, then ask again and again how far it is."""
    yield pb.WatchRequest(
        create_request=pb.WatchCreateRequest(
            key=bytes_of(wanted["key"]),
            range_end=bytes_of(wanted.get("end", "")),
            start_revision=wanted.get("start", 0),
            prev_kv=wanted.get("prev_kv", False),
            filters=[_FILTERS[name] for name in wanted.get("filters", ())],
        )
    )
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        yield pb.WatchRequest(progress_request=pb.WatchProgressRequest())
