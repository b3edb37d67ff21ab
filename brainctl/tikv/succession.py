"""Keep the lead of a store, or follow the process that has it and take it when it is free.

The lead is free when its holder gave it back at an orderly stop, when its lease has run out on the cluster's clock, or
when its holder is a process of this machine that is dead for certain. No living server is ever pushed out of it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum

from brainctl.errors import BrainctlError, Fenced, InvalidInput, StoreInUse
from brainctl.log import Fact
from brainctl.mvcc.record_names import CHECKPOINT
from brainctl.tikv.commit_codec import Writes
from brainctl.tikv.errors import TikvFailed
from brainctl.tikv.holder import Holder
from brainctl.tikv.instances import BEAT_SECONDS, Instances
from brainctl.tikv.key_codec import Layout
from brainctl.tikv.leadership import HEARTBEAT_SECONDS, RENEW_SHARE
from brainctl.tikv.published_state import PublishedState
from brainctl.tikv.reads import Reads
from brainctl.tikv.state_view import StateView
from brainctl.tikv.writer import IDENTITY, Writer

_log = logging.getLogger(__name__)

FOLLOW_SECONDS = 0.05
"""Seconds between two looks of a process that does not write at what another wrote."""
WAIT_SECONDS = 0.2
"""Seconds between two looks of a process that waits at its start."""
BEATS_PER_CLEANING = 30
"""Beats after which the leader removes the records of instances that are gone."""


class Role(Enum):
    """Role of a process: when it takes the lead; the values are explanations."""

    AUTO = "takes the lead whenever it is free, and follows while another process has it"
    LEADER = "waits for the lead when it opens the store, and writes no more once it has lost it"
    ON_DEMAND = "takes the lead with its first write, unless a living process holds it"
    FOLLOWER = "never writes"


class CopiedOver(Fenced):
    """A migration has taken the store over from those that served it."""


class Succession:
    """Part of one process in the succession of leaders."""

    def __init__(
        self,
        role: Role,
        layout: Layout,
        writer: Writer,
        shown: PublishedState,
        reads: Reads,
        instances: Instances | None,
    ) -> None:
        """Create the succession; `instances` are those of a served store, None where other machines need none."""
        self._role = role
        self._layout = layout
        self._writer = writer
        self._shown = shown
        self._reads = reads
        self._instances = instances
        self._beat_now = asyncio.Event()
        self.load: Callable[[], Awaitable[None]] = _nothing_to_do
        """Begins with the newest state anew: another process has taken the lead before this one could."""
        self.admit: Callable[[], Awaitable[None]] | None = None
        """Raises InvalidInput unless the lead of the store, as it was read, may be taken."""
        self.on_lead: Callable[[], None] = _nothing
        """Called when this process has taken the lead."""
        self.fail: Callable[[BrainctlError], None] = _nothing
        """Called when this process cannot go on."""
        writer.returns = role in (Role.AUTO, Role.FOLLOWER)

    # -- at the start ---------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Take the lead if that is the role; then see to it that the store is one that can be served.

        Raises:
            StoreInUse: another living instance has the name of this one.
            InvalidInput: `admit` refuses the store.
            TikvFailed: TiKV does not answer.
        """
        if self._instances is not None:
            await self._instances.check_name()
        if self._role in (Role.AUTO, Role.LEADER):
            self.describe_holder()
            await self._lead_at_start()
        if self._instances is None:
            return
        waits = False
        while IDENTITY not in self._shown.records:
            if not waits:
                _log.warning(Fact("the store is new, and waits for its first leader"))
            waits = True
            await self.follow_at_start()
        await self._instances.beat()
        await self._look()

    async def follow_at_start(self) -> None:
        """Wait a moment for what the store still lacks, and take the lead meanwhile if it is free and that is the role.

        Raises:
            InvalidInput: `admit` refuses the store.
            TikvFailed: TiKV does not answer.
        """
        await asyncio.sleep(WAIT_SECONDS)
        await self._follow_and_lead()

    async def _lead_at_start(self) -> None:
        waits = False
        while True:
            state = await self._reads.state()
            if state.head.epoch != self._shown.head.epoch:
                # Another process had the lead meanwhile: what it made of the store is looked at too.
                await self.load()
                if self.admit is not None:
                    await self.admit()
                continue
            holder = await self._holder(state)
            # A migration that still has the lead of a store that was admitted has finished, or is to be overridden.
            forced = holder is not None and (holder.is_dead or holder.role == "migrate")
            if forced or state.head.expires <= state.time_ms:
                with suppress(StoreInUse):
                    if await self._writer.acquire(force=forced, admitted=state.head.epoch):
                        return
            elif self._role is Role.AUTO:
                return
            elif not waits:
                _log.warning(Fact("the lead is waited for", holder=holder or "another process"))
                waits = True
            await asyncio.sleep(WAIT_SECONDS)

    async def _holder(self, state: StateView) -> Holder | None:
        key = self._layout.holder
        return Holder.unpack((await state.reader.get([key])).get(key, b""))

    def describe_holder(self, endpoint: str = "") -> Holder:
        """Set and return what the next take-over writes about this process."""
        holder = Holder.here("serve", endpoint, self._instances.mine.id if self._instances is not None else 0)
        self._writer.name_holder(holder)
        return holder

    # -- afterwards -----------------------------------------------------------------------------------------------

    async def follow(self, state: StateView) -> None:
        """Show what other processes wrote up to a state.

        Raises:
            CopiedOver: a server can follow no migration, which starts a store over.
            TikvFailed: TiKV does not answer.
        """
        async with self._writer.busy:
            if self._instances is not None and state.head.epoch > self._shown.head.epoch:
                await self._check_uncopied(state)
            await self._shown.catch_up(state)
        if self._instances is not None:
            self._instances.heard(state.head, state.time_ms)

    async def _check_uncopied(self, state: StateView) -> None:
        """Check that of the processes that have had the lead lately none was a migration.

        Raises:
            CopiedOver: one was.
            TikvFailed: TiKV does not answer.
        """
        layout = self._layout
        record = layout.record(CHECKPOINT)
        values = await state.reader.get([layout.holder, record])
        holder = Holder.unpack(values.get(layout.holder, b""))
        if (holder is not None and holder.role == "migrate") or values.get(record) != self._shown.records.get(
            CHECKPOINT
        ):
            raise CopiedOver("a migration has taken the store over, and what it copied has replaced what was served")

    async def run(self) -> None:
        """Renew the lead from time to time; without it follow the process that leads, and take the lead when free."""
        while True:
            if self._writer.leads:
                with suppress(TimeoutError):
                    pause = min(HEARTBEAT_SECONDS, self._writer.lease_seconds * RENEW_SHARE)
                    await asyncio.wait_for(self._writer.lost.wait(), pause)
            else:
                await asyncio.sleep(FOLLOW_SECONDS)
            try:
                if self._writer.leads:
                    await self._writer.edit(_no_writes, 0)
                else:
                    await self._follow_and_lead()
            except (CopiedOver, InvalidInput) as error:
                self.fail(error)
                return
            except Fenced as error:
                self._writer.step_down(error)
            except BrainctlError as error:
                _log.warning(Fact("following the store is tried again", error=error))

    async def _follow_and_lead(self) -> None:
        state = await self._reads.state()
        await self.follow(state)
        if self._instances is not None and state.head.epoch != self._instances.epoch:
            await self._look()
        if self._role is Role.AUTO and state.head.expires <= state.time_ms:
            await self._lead(state)

    async def _lead(self, state: StateView) -> None:
        if self.admit is not None:
            await self.admit()
        with suppress(StoreInUse):
            async with self._writer.busy:
                taken = await self._writer.acquire(admitted=state.head.epoch)
            if taken:
                _log.warning(Fact("this server has taken the lead", epoch=state.head.epoch + 1))
                self.on_lead()
                await self._look()

    async def beat(self, instances: Instances) -> None:
        """Tell the other instances from time to time that this one lives, and look who else does."""
        for number in range(1 << 62):
            try:
                await instances.beat()
                await self._look()
                if self._writer.leads and number % BEATS_PER_CLEANING == 0:
                    await instances.forget()
            except StoreInUse as error:
                self.fail(error)
                return
            except TikvFailed as error:
                _log.warning(Fact("registering among the servers of the store is tried again", error=error))
            self._beat_now.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._beat_now.wait(), BEAT_SECONDS)

    def announce(self) -> None:
        """Tell the other instances at once what has changed about this one."""
        self._beat_now.set()

    async def _look(self) -> None:
        """Look who is there and who leads."""
        if self._instances is not None:
            await self._instances.refresh()


async def _no_writes(_: StateView) -> Writes:
    """Return no writes: the commit only renews the lead."""
    return {}


async def _nothing_to_do() -> None:
    """Load nothing; stands in until `load` is set."""


def _nothing(*_: object) -> None:
    """Do nothing; stands in until somebody wants to be called."""
