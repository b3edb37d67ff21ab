"""Ask the Placement Driver (PD) of a cluster: who its leader is, where regions and stores are, the safe point.

Only the leader of its members answers. Any member tells who that is; the client asks all that it knows at once, and
again after a call that failed.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol, TypeVar

from brainctl.tikv.client import limits, methods
from brainctl.tikv.client.attempts import Attempts
from brainctl.tikv.client.channels import Channels, Marshalled, Method, NoAnswer
from brainctl.tikv.errors import Failure
from brainctl.tikvpb import pdpb_pb2 as pd

SILENT = "its Placement Driver does not answer"
_ANSWERS = frozenset({pd.OK, pd.REGION_NOT_FOUND, pd.STORE_TOMBSTONE})
"""Errors in an answer that say something about what was requested, and not about the member that was asked."""


class _Headed(Protocol):
    """An answer."""

    @property
    def header(self) -> pd.ResponseHeader: ...


class _Asking(Marshalled, Protocol):
    """A request."""

    @property
    def header(self) -> pd.RequestHeader: ...


Ask = TypeVar("Ask", bound=_Asking)
Told = TypeVar("Told", bound=_Headed)


class PlacementDriver:
    """The Placement Driver of one cluster."""

    def __init__(self, endpoints: Sequence[str], channels: Channels) -> None:
        self._members = list(endpoints)
        self._channels = channels
        self._leader = ""
        self._asking = asyncio.Lock()
        self.cluster = 0
        """The id of the cluster, once its leader is known."""

    async def leader(self, seconds: float) -> str:
        """Return the address of the leader.

        Raises:
            NoAnswer: no member tells one within that time.
        """
        async with self._asking:
            if not self._leader:
                await self._find_leader(seconds)
            return self._leader

    def forget_leader(self, address: str) -> None:
        """Look for the leader again before the next call, since the one at this address did not answer."""
        if self._leader == address:
            self._leader = ""

    async def region(self, key: bytes, attempts: Attempts) -> pd.GetRegionResponse:
        """Return the region of an encoded key; the answer has none while no region has reported it.

        Raises:
            TikvFailed: it does not answer.
        """
        return await self._call(methods.REGION, pd.GetRegionRequest(region_key=key), attempts)

    async def address(self, store: int, attempts: Attempts) -> str:
        """Return the address of a store; empty when there is no such store any more.

        Raises:
            TikvFailed: it does not answer.
        """
        answer = await self._call(methods.STORE, pd.GetStoreRequest(store_id=store), attempts)
        return answer.store.address

    async def safe_point(self, attempts: Attempts) -> int:
        """Return the safe point of garbage collection.

        Raises:
            TikvFailed: it does not answer.
        """
        return (await self._call(methods.SAFE_POINT, pd.GetGCSafePointRequest(), attempts)).safe_point

    async def move_safe_point(self, timestamp: int, attempts: Attempts) -> int:
        """Move the safe point on to a timestamp, and return where it is: never before where it was.

        Raises:
            TikvFailed: it does not answer.
        """
        request = pd.UpdateGCSafePointRequest(safe_point=timestamp)
        return (await self._call(methods.MOVE_SAFE_POINT, request, attempts)).new_safe_point

    async def hold_safe_point(self, service: bytes, timestamp: int, seconds: int, attempts: Attempts) -> int:
        """Register what a service needs (see `seam.Client`).

        Raises:
            TikvFailed: it does not answer.
        """
        request = pd.UpdateServiceGCSafePointRequest(service_id=service, TTL=seconds, safe_point=timestamp)
        return (await self._call(methods.HOLD_SAFE_POINT, request, attempts)).min_safe_point

    async def _call(self, method: "Method[Ask, Told]", request: Ask, attempts: Attempts) -> Told:
        """Call a method of the leader, whoever it is by then.

        Raises:
            TikvFailed: no leader answers for as long as the call is repeated.
        """
        while True:
            address = ""
            try:
                address = await self.leader(attempts.answer_seconds)
                request.header.cluster_id = self.cluster
                answer = await self._channels.call(address, method, request, attempts.answer_seconds)
                if answer.header.error.type in _ANSWERS:
                    return answer
                said, late = answer.header.error.message, False
            except NoAnswer as error:
                said, late = str(error), error.late
            self.forget_leader(address)
            await attempts.pause(attempts.failures.of(Failure.UNAVAILABLE, SILENT, said, late=late))

    async def _find_leader(self, seconds: float) -> None:
        tasks = [asyncio.ensure_future(self._ask_member(member, seconds)) for member in self._members]
        late = False
        try:
            for task in asyncio.as_completed(tasks):
                answer = await task
                if isinstance(answer, NoAnswer):
                    late |= answer.late
                elif answer.leader.client_urls:
                    self._remember(answer)
                    return
        finally:
            for task in tasks:
                task.cancel()
        raise NoAnswer("no member tells a leader", sent=False, late=late)

    async def _ask_member(self, member: str, seconds: float) -> pd.GetMembersResponse | NoAnswer:
        try:
            return await self._channels.call(
                member, methods.MEMBERS, pd.GetMembersRequest(), min(seconds, limits.ANSWER_SECONDS)
            )
        except NoAnswer as error:
            return error

    def _remember(self, answer: pd.GetMembersResponse) -> None:
        """Remember the leader, and further members; those of the configuration are never forgotten."""
        self.cluster = answer.header.cluster_id
        self._leader = _address(answer.leader.client_urls[0])
        for member in answer.members:
            for url in member.client_urls:
                if (address := _address(url)) not in self._members:
                    self._members.append(address)


def _address(url: str) -> str:
    """Return "host:port" of a URL."""
    return url.rpartition("://")[2].rstrip("/")
