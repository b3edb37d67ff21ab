"""One client of a recording: it sends one operation after the other, and writes down what it was told, and when."""

import asyncio
from collections.abc import Callable
from itertools import count
from random import Random

from brainctl.check.line import Answer, Line, Request, may_write
from brainctl.client.recorder.requests import perform
from brainctl.client.recorder.tape import Tape
from brainctl.errors import NO_SPACE, ApiError, BrainctlError, ConnectionFailed, UnknownOutcome
from brainctl.stores.store import Store

RETRY_SECONDS = 0.1
"""Seconds that a client waits after it could not reach its endpoint."""
LEASED = frozenset(("grant", "keepalive", "revoke", "compact"))


class Over(Exception):
    """The time of the recording is over."""


class Shared:
    """State that all clients of a recording share."""

    def __init__(self, tape: Tape, prefix: str, random: Random, allowed: Callable[[], float | None]) -> None:
        self.tape = tape
        self.prefix = prefix
        self.random = random
        self.allowed = allowed
        """Returns how many seconds to wait before the next operation; None when there is to be none."""
        self.numbers = count(1)
        """The numbers of clients and of watches."""
        self.mods: dict[str, int] = {}
        """The mod revisions of keys that were last seen: for transactions that compare them."""
        self.first = 0
        """The revision at which the recording began."""
        self.revision = 0
        """The newest revision that was seen."""
        self.leases: set[int] = set()
        """The leases that may be there."""

    def learn(self, line: Line) -> None:
        """Remember what an answer shows."""
        self.revision = max(self.revision, line.get("rev", 0))
        if line["op"] == "txn":
            branch = line.get("success", ()) if line["succeeded"] else line.get("failure", ())
            for request, answer in zip(branch, line["responses"], strict=True):
                self._learn(request, answer, line["rev"])
        else:
            self._learn(line, line, line.get("rev", 0))

    def _learn(self, request: Request, answer: Answer | Line, revision: int) -> None:
        if request["op"] == "put":
            self.mods[request["key"]] = revision
        elif request["op"] in ("delete", "range") and not request.get("at"):
            self.mods.pop(request["key"], None)
            self.mods.update({str(kv[0]): int(kv[2]) for kv in answer.get("kvs", ())})


class Client:
    """A client of one endpoint."""

    def __init__(self, shared: Shared, endpoint: int, store: Store) -> None:
        self.shared = shared
        self.random = shared.random
        self.number = next(shared.numbers)
        self._endpoint = endpoint
        self._store = store
        self._values = count(1)

    def key(self, name: str) -> str:
        """Return a key below the prefix of the recording; there is no other way to name one."""
        return self.shared.prefix + name

    def value(self) -> str:
        """Return a value that no other operation writes."""
        return f"{self.number}.{next(self._values)}"

    async def do(self, request: Line) -> Line | None:
        """Send an operation when its time has come; return its line, None when it was not answered.

        Raises:
            Over: There is to be no other operation.
        """
        pause = self.shared.allowed()
        if pause is None:
            raise Over
        if pause > 0:
            await asyncio.sleep(pause)
        return await self._send(request)

    async def _send(self, request: Line) -> Line | None:
        tape = self.shared.tape
        number, called = tape.call()
        line: Line = {**request, "client": self.number, "endpoint": self._endpoint, "called": called}
        try:
            line = {**line, **await perform(self._store, request)}
        except BrainctlError as error:
            tape.end(number, self._failed(line, error))
            if not isinstance(error, ApiError):
                await asyncio.sleep(RETRY_SECONDS)
            return None
        except BaseException:
            tape.end(number, self._unknown(line, "the recording was ended"))
            raise
        line["returned"] = tape.now()
        tape.end(number, line)
        self.shared.learn(line)
        return line

    def _failed(self, line: Line, error: BrainctlError) -> Line | None:
        """Return the line of an operation that was not answered; None for a read."""
        refused = (
            isinstance(error, ApiError) and error.status != NO_SPACE
        )  # etcd may have applied what it had no room for
        if refused or (isinstance(error, ConnectionFailed) and not isinstance(error, UnknownOutcome)):
            return {**line, "returned": self.shared.tape.now(), "error": str(error)}
        return self._unknown(line, str(error))

    def _unknown(self, line: Line, reason: str) -> Line | None:
        self.number = next(self.shared.numbers)
        if not may_write(line) and line["op"] not in LEASED:
            return None
        return {**line, "returned": None, "reason": reason}
