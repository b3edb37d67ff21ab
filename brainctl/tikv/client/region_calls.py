"""Send requests to the leaders of regions, and repeat them as refusals and lost connections ask for."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from brainctl.tikv.client import limits
from brainctl.tikv.client.attempts import Attempts
from brainctl.tikv.client.channels import Channels, Marshalled, Method, NoAnswer
from brainctl.tikv.client.placement_driver import PlacementDriver
from brainctl.tikv.client.region_errors import Advice, Reaction, advise
from brainctl.tikv.client.regions import Peer, Region, RegionCache, encode_key
from brainctl.tikv.errors import Failure, TikvFailed
from brainctl.tikvpb import errorpb_pb2 as errorpb
from brainctl.tikvpb import kvrpcpb_pb2 as kv
from brainctl.tikvpb import metapb_pb2 as meta

NO_SERVER = "one of its servers cannot be reached"
_UNKNOWN_REGION = "its Placement Driver does not know yet where the keys are that are requested"


class _Asking(Marshalled, Protocol):
    """A request to a region."""

    @property
    def context(self) -> kv.Context: ...


class _Told(Protocol):
    """The answer to one."""

    @property
    def region_error(self) -> errorpb.Error: ...

    def HasField(self, field_name: str) -> bool: ...  # noqa: N802 - its name in protobuf


Ask = TypeVar("Ask", bound=_Asking)
Told = TypeVar("Told", bound=_Told)


class Regroup(Exception):
    """The keys of a request have to be sorted into regions anew."""


class Fate:
    """Whether requests with the power to commit may have done so without an answer."""

    def __init__(self) -> None:
        self.unknown = False


class RegionCalls:
    """The regions of one cluster, to which requests are sent."""

    def __init__(self, driver: PlacementDriver, channels: Channels) -> None:
        self._driver = driver
        self._channels = channels
        self._cache = RegionCache()
        self._addresses: dict[int, str] = {}

    async def locate(self, key: bytes, attempts: Attempts) -> Region:
        """Return the region of a key.

        Raises:
            TikvFailed: the Placement Driver does not tell.
        """
        while (region := self._cache.find(key)) is None:
            answer = await self._driver.region(encode_key(key), attempts)
            if answer.HasField("region"):
                found = Region.of(answer.region)
                self._cache.put(found, Peer(answer.leader.id, answer.leader.store_id))
                if found.has(key):
                    return found
            await attempts.pause(attempts.failures.of(Failure.UNAVAILABLE, _UNKNOWN_REGION))
        return region

    async def spread(
        self, keys: Sequence[bytes], work: Callable[[Region, Sequence[bytes]], Awaitable[None]], attempts: Attempts
    ) -> None:
        """Do the work for keys region by region, at the same time, and again for what was in a region that changed.

        All of it has ended when this returns or raises.

        Args:
            keys: in any order.
            work: is called with a region and those of the keys that it has; may raise Regroup.
            attempts: of the call.

        Raises:
            TikvFailed: of `work`, or when the keys cannot be located.
        """
        groups: dict[Region, list[bytes]] = {}
        region: Region | None = None
        for key in keys:
            if region is None or not region.has(key):
                region = await self.locate(key, attempts)
            groups.setdefault(region, []).append(key)
        if len(groups) == 1 and region is not None:
            await self._work(region, keys, work, attempts)
            return
        await gather_all([self._work(region, part, work, attempts) for region, part in groups.items()])

    async def _work(
        self,
        region: Region,
        keys: Sequence[bytes],
        work: Callable[[Region, Sequence[bytes]], Awaitable[None]],
        attempts: Attempts,
    ) -> None:
        try:
            await work(region, keys)
        except Regroup:
            await self.spread(keys, work, attempts)

    async def at_key(
        self, key: bytes, method: "Method[Ask, Told]", request: Ask, attempts: Attempts, fate: Fate | None = None
    ) -> Told:
        """Send a request that is about one key, wherever that is by then.

        Raises:
            TikvFailed: no answer comes in time, or a refusal that does not pass.
        """
        while True:
            region = await self.locate(key, attempts)
            try:
                return await self.send(region, method, request, attempts, fate)
            except Regroup:
                continue

    async def send(
        self, region: Region, method: "Method[Ask, Told]", request: Ask, attempts: Attempts, fate: Fate | None = None
    ) -> Told:
        """Send a request to the leader of a region until it is answered, also with an error about a key.

        Args:
            region: what the request is about.
            method: of the service tikvpb.Tikv.
            request: its context is filled in.
            attempts: of the call.
            fate: of a transaction that this request can commit.

        Raises:
            Regroup: the region is not what it was.
            TikvFailed: no answer comes in time, or a refusal that does not pass.
        """
        while True:
            peer = self._cache.peer(region)
            address = "" if peer is None else await self._address(peer, attempts)
            if peer is None or not address:
                self._cache.drop(region)
                await attempts.pause(attempts.failures.of(Failure.UNAVAILABLE, _UNKNOWN_REGION))
                raise Regroup
            _address_to(request.context, region, peer)
            try:
                answer = await self._channels.call(address, method, request, attempts.answer_seconds)
            except NoAnswer as error:
                request.context.is_retry_request = True
                if fate is not None and error.sent:
                    fate.unknown = True
                await self._lost(region, peer, error, attempts)
                continue
            if not answer.HasField("region_error"):
                self._cache.answered(region)
                return answer
            request.context.is_retry_request = True
            await self._refused(region, peer, answer.region_error, attempts, fate)

    async def _address(self, peer: Peer, attempts: Attempts) -> str:
        address = self._addresses.get(peer.store)
        if address is None:
            address = await self._driver.address(peer.store, attempts)
            if address:
                self._addresses[peer.store] = address
        return address

    async def _lost(self, region: Region, peer: Peer, error: NoAnswer, attempts: Attempts) -> None:
        """Ask another peer after one did not answer.

        Raises:
            Regroup: all were asked.
            TikvFailed: no time is left.
        """
        self._addresses.pop(peer.store, None)
        further = self._cache.next_peer(region)
        if not further:
            self._cache.drop(region)
        await attempts.pause(attempts.failures.of(Failure.UNAVAILABLE, NO_SERVER, str(error), late=error.late))
        if not further:
            raise Regroup

    async def _refused(
        self, region: Region, peer: Peer, error: errorpb.Error, attempts: Attempts, fate: Fate | None
    ) -> None:
        """Do what a refusal asks for.

        Raises:
            Regroup: the region is not what it was.
            TikvFailed: repeating would not help, or no time is left.
        """
        advice = advise(error)
        if fate is not None and not advice.certain:
            fate.unknown = True
        failed = attempts.failures.of(advice.failure, advice.sentence, error.message)
        if advice.reaction is Reaction.FAIL:
            raise failed
        same_region = self._react(region, peer, error, advice)
        await attempts.pause(failed, advice.pause)
        if not same_region:
            raise Regroup

    def _react(self, region: Region, peer: Peer, error: errorpb.Error, advice: Advice) -> bool:
        """Take a refusal into account; returns whether the region is still what it was."""
        cache, reaction = self._cache, advice.reaction
        if reaction is Reaction.WAIT:
            return True
        if reaction is Reaction.LEADER:
            leader = error.not_leader.leader
            if cache.lead(region, Peer(leader.id, leader.store_id)):
                return True
        elif reaction is Reaction.NEXT and cache.next_peer(region):
            return True
        elif reaction is Reaction.MOVED:
            self._addresses.pop(peer.store, None)
        cache.drop(region)
        if reaction is Reaction.TAKE:
            for current in error.epoch_not_match.current_regions:
                found = Region.of(current)
                # The leader of what was split mostly stays where it was.
                cache.put(found, next((each for each in found.peers if each.store == peer.store), None))
        return False


async def gather_all(work: Sequence[Awaitable[None]]) -> None:
    """Wait until all of it has ended, and then raise the first error, if there was one.

    Raises:
        TikvFailed: of the work.
    """
    errors = [error for error in await asyncio.gather(*work, return_exceptions=True) if error is not None]
    certain = [error for error in errors if isinstance(error, TikvFailed) and error.failure is not Failure.UNAVAILABLE]
    for error in certain or errors:
        raise error


def _address_to(context: kv.Context, region: Region, peer: Peer) -> None:
    """Fill in to whom a request goes."""
    context.region_id = region.id
    context.region_epoch.conf_ver = region.peers_version
    context.region_epoch.version = region.version
    context.peer.CopyFrom(meta.Peer(id=peer.id, store_id=peer.store))
    context.max_execution_duration_ms = int(limits.ANSWER_SECONDS * 1000)
