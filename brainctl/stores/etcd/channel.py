"""One gRPC connection to one endpoint, dialed before it is used.

A call that was never sent has certainly changed nothing. So dialing is a step of its own, and only a failure after it
can leave the outcome of a write unknown.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult

import grpc
import grpc.aio

from brainctl.errors import ConnectionFailed, DialTimedOut, InvalidInput, next_step
from brainctl.stores.contexts import verifying
from brainctl.stores.etcd import arrivals
from brainctl.stores.etcd.authorities import system_authorities
from brainctl.stores.etcd.diagnosis import diagnose
from brainctl.stores.etcd.proxy import grpc_uri, proxy_of
from brainctl.stores.etcd.target import EtcdTarget, Tls, split_endpoint
from brainctl.stores.etcd.tunnel import Tunnel

_USER_AGENT = "brainctl"
PROXY_VARIABLES = "HTTPS_PROXY and NO_PROXY"
DIAGNOSIS_SECONDS = 2.0
"""Seconds for a server's answer that explains why there is no connection, when there is no dial timeout."""
_DAY = 86_400.0
_LONGEST_MS = (1 << 31) - 1
"""The largest number that an option of gRPC may have."""
HEAD_START = 0.1
"""Seconds before the next endpoint is dialed as well: longer than a connection within a data centre takes."""


CLOSED = "the connection was given up"
"""The reason of a call whose channel was closed while it waited."""


def is_cancelled() -> bool:
    """Return whether a CancelledError is for the task that runs now.

    Otherwise it is gRPC's word for a call whose channel was closed: another call has found that nobody answers.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Connection:
    """A channel to one endpoint."""

    def __init__(self, endpoint: str, target: EtcdTarget) -> None:
        self.endpoint = endpoint
        self._target = target
        self._channel: grpc.aio.Channel | None = None
        self._dialing: asyncio.Task[grpc.aio.Channel] | None = None
        """The dial that callers wait for together."""
        self._before: arrivals.Sockets = {}
        """The sockets of this process before the channel was created."""
        self._opened: arrivals.Sockets = {}
        """The sockets of the channel, when their bytes are counted."""
        self._tunnel: Tunnel | None = None
        """The local socket for TLS without verification; None otherwise."""

    @property
    def connected(self) -> grpc.aio.Channel | None:
        """Return the channel; None when it is not connected."""
        channel = self._channel
        return channel if channel is not None and channel.get_state() is grpc.ChannelConnectivity.READY else None

    async def dial(self) -> grpc.aio.Channel:
        """Return the connected channel; concurrent callers wait for the same attempt.

        Raises:
            ConnectionFailed: Nobody listens, or nobody answers within the dial timeout (DialTimedOut); names endpoint
                and reason.
        """
        connected = self.connected
        if connected is not None:
            return connected
        if self._dialing is None or self._dialing.done():
            self._dialing = asyncio.ensure_future(self._dial())
            self._dialing.add_done_callback(_forget)
        try:
            return await asyncio.shield(self._dialing)
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            raise ConnectionFailed(f"{self.endpoint}: {CLOSED}") from None

    @property
    def received(self) -> int | None:
        """Return the bytes that have arrived so far; None when that is not known (see `EtcdTarget.counted`)."""
        return arrivals.received(self._opened)

    async def drop(self) -> None:
        """Close the channel; the next dial starts afresh, without the backoff of this one."""
        if self._dialing is not None and self._dialing is not asyncio.current_task():
            self._dialing.cancel()
            await asyncio.gather(self._dialing, return_exceptions=True)
        channel, self._channel = self._channel, None
        self._opened = {}
        if channel is not None:
            await channel.close(grace=None)
        if self._tunnel is not None:
            await self._tunnel.close()
            self._tunnel = None

    async def _dial(self) -> grpc.aio.Channel:
        """Open the channel unless there is one, and wait until it is connected.

        Raises:
            DialTimedOut: It is not connected within the dial timeout.
            ConnectionFailed: It cannot be connected.
        """
        limit = self._limit
        try:
            async with asyncio.timeout(limit or None):
                if self._channel is None:
                    self._before = arrivals.sockets() if self._target.counted else {}
                    self._channel = await self._open()
                channel = self._channel
                await self._until_ready(channel)
        except TimeoutError:
            await self.drop()
            raise DialTimedOut(f"cannot connect to {self.endpoint}: no answer within {limit:g} s") from None
        if self._target.counted:
            self._opened = {inode: fd for inode, fd in arrivals.sockets().items() if inode not in self._before}
        return channel

    @property
    def _limit(self) -> float:
        """Return the seconds for connecting; 0 for no limit."""
        target = self._target
        if target.dial_timeout > 0:
            return target.dial_timeout
        return target.command_timeout or 0  # without a limit of its own, as in etcdctl, it has that of the request

    async def _open(self) -> grpc.aio.Channel:
        """Create the channel: plain, by TLS, or through a tunnel that does not verify; by a proxy if there is one."""
        address, secure = split_endpoint(self.endpoint, self._target.tls)
        options = self._options()
        proxy = _proxy(address)
        if secure and self._target.tls.unverified:
            self._tunnel = Tunnel(address, self._target.tls, proxy)
            options += [("grpc.default_authority", address), ("grpc.enable_http_proxy", 0)]
            return grpc.aio.insecure_channel(await self._tunnel.open(), options=options)
        options += [("grpc.enable_http_proxy", 0)] if proxy is None else [("grpc.http_proxy", grpc_uri(proxy))]
        if secure:
            return grpc.aio.secure_channel(address, _credentials(self._target.tls), options=options)
        return grpc.aio.insecure_channel(address, options=options)

    async def _until_ready(self, channel: grpc.aio.Channel) -> None:
        """Wait until a channel is connected.

        Raises:
            ConnectionFailed: gRPC has failed to connect it; the text has the reason.
        """
        state = channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                await self.drop()
                raise ConnectionFailed(f"cannot connect to {self.endpoint}: {await self._reason()}")
            await channel.wait_for_state_change(state)
            state = channel.get_state(try_to_connect=True)

    async def _reason(self) -> str:
        """Return why there is no connection, in words that name the flag that helps; gRPC's texts do not."""
        address, secure = split_endpoint(self.endpoint, self._target.tls)
        proxy = _proxy(address)
        if proxy is not None:
            return f"the proxy at {proxy.hostname} does not lead there: check the variables {PROXY_VARIABLES}"
        seconds = self._target.dial_timeout or DIAGNOSIS_SECONDS
        return await asyncio.to_thread(diagnose, address, self._target.tls, secure=secure, seconds=seconds)

    def _options(self) -> list[tuple[str, int | str]]:
        """Return gRPC's options: limits and keepalive of the target, no sharing of connections, no hidden retries."""
        target = self._target
        return [
            ("grpc.max_send_message_length", target.max_send),
            ("grpc.max_receive_message_length", target.max_receive),
            # In spite of its name, this bounds how long gRPC itself tries to connect; its default is 20 s.
            ("grpc.min_reconnect_backoff_ms", min(_LONGEST_MS, int((self._limit or _DAY) * 1000) + 1000)),
            ("grpc.keepalive_time_ms", max(1, int(target.keepalive_time * 1000))),
            ("grpc.keepalive_timeout_ms", max(1, int(target.keepalive_timeout * 1000))),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            ("grpc.primary_user_agent", _USER_AGENT),
        ]


async def first_dialed(connections: Sequence[Connection]) -> tuple[int, grpc.aio.Channel]:
    """Return the place and the channel of the first connection that answers.

    The first one is dialed, and the next whenever the ones before have failed or take longer than HEAD_START: a
    silent endpoint costs no dial timeout when another one answers.

    Raises:
        ConnectionFailed: None of them can be reached; names each. DialTimedOut when one of them was silent.
    """
    dials: dict[asyncio.Task[grpc.aio.Channel], int] = {}
    failures: dict[int, ConnectionFailed] = {}
    try:
        while len(failures) < len(connections):
            if len(dials) + len(failures) < len(connections):
                dial = asyncio.ensure_future(connections[len(dials) + len(failures)].dial())
                dial.add_done_callback(_forget)
                dials[dial] = len(dials) + len(failures)
            is_last = len(dials) + len(failures) == len(connections)
            limit = None if is_last else HEAD_START
            done, _ = await asyncio.wait(dials, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            for dialed in sorted(done, key=dials.__getitem__):
                place = dials.pop(dialed)
                try:
                    return place, dialed.result()
                except ConnectionFailed as error:
                    failures[place] = error
    finally:
        for dial in dials:
            dial.cancel()
    late = any(isinstance(error, DialTimedOut) for error in failures.values())
    text = "; ".join(str(failures[place]) for place in sorted(failures))
    raise DialTimedOut(text) if late else ConnectionFailed(text)


def _forget(dialed: "asyncio.Task[grpc.aio.Channel]") -> None:
    """Read the outcome of a dial that nobody waits for any more; otherwise asyncio logs that it was never retrieved."""
    if not dialed.cancelled():
        dialed.exception()


def _proxy(address: str) -> SplitResult | None:
    """Return the proxy through which an address is reached; gRPC's own rules would use one for loopback too."""
    if address.startswith("unix:"):
        return None
    host, _, port = address.rpartition(":")
    return proxy_of(host.strip("[]"), port, os.environ)


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    """Return the credentials of a channel with TLS.

    Raises:
        InvalidInput: A certificate or key is missing or not usable.
    """
    if bool(tls.cert) != bool(tls.key):
        raise InvalidInput("a client certificate needs both --cert and --key")
    authorities, key, certificate = map(_pem, (tls.cacert, tls.key, tls.cert))
    if certificate or authorities:
        verifying(tls)  # gRPC does not say which file it cannot use
    return grpc.ssl_channel_credentials(authorities or system_authorities(os.environ), key, certificate)


def _pem(path: str) -> bytes | None:
    """Return the content of a file; None without a name.

    Raises:
        InvalidInput: It cannot be read.
    """
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}").advised(next_step(error)) from error
