"""A lease that lives as long as a command runs; keys attached to it are deleted when the command dies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from brainctl.clock import Clock
from brainctl.errors import BrainctlError, ConnectionFailed, TimedOut
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store

_RETRY_SECONDS = 0.5
"""The longest pause before a failed renewal is repeated, in seconds."""


class LeaseSession:
    """A lease, and the event of losing it."""

    def __init__(self, lease: int) -> None:
        self.lease = lease
        self.lost = asyncio.Event()
        """Set when the lease has expired, was revoked, or may have expired while the store did not answer."""


@asynccontextmanager
async def lease_session(store: Store, ttl: int, clock: Clock) -> AsyncIterator[LeaseSession]:
    """Grant a lease of `ttl` seconds and keep it alive until the block ends; then revoke it, with its keys."""
    started = clock.monotonic()
    granted = await store.lease_grant(pb.LeaseGrantRequest(TTL=ttl))
    session = LeaseSession(granted.ID)
    keeper = asyncio.ensure_future(_keep(store, session, granted.TTL, started, clock))
    try:
        yield session
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
        if not session.lost.is_set():
            with suppress(BrainctlError):  # it then expires by itself
                await store.lease_revoke(pb.LeaseRevokeRequest(ID=granted.ID))


async def _keep(store: Store, session: LeaseSession, ttl: int, renewed: float, clock: Clock) -> None:
    """Renew the lease every third of its TTL.

    A renewal that fails is repeated while the lease must still be alive. Its TTL counts from the moment just before the
    last answered renewal was sent.
    """
    pause = ttl / 3
    try:
        while clock.monotonic() < renewed + ttl:
            await asyncio.sleep(pause)
            sent = clock.monotonic()
            try:
                async with asyncio.timeout(max(0.0, renewed + ttl - sent)):
                    answer = await store.lease_keep_alive(session.lease)
            except (ConnectionFailed, TimedOut, TimeoutError):
                pause = min(_RETRY_SECONDS, ttl / 3)
                continue
            if answer.TTL <= 0:
                return
            renewed, ttl, pause = sent, answer.TTL, answer.TTL / 3
    except BrainctlError:
        return  # the renewal was refused, so the lease is lost
    finally:
        session.lost.set()
