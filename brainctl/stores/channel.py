"""One gRPC connection to one endpoint, dialed before it is used.

A call that was never sent has surely changed nothing: so dialing is a step of its own, and only what fails after
it can leave a write in doubt.
"""

import asyncio
import os
import re
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its errors are told by ours; read when it is loaded

import grpc
import grpc.aio

from brainctl.errors import ConnectionFailed, InvalidInput
from brainctl.stores.target import EtcdTarget, Tls, split_endpoint
from brainctl.stores.tunnel import Tunnel

_USER_AGENT = "brainctl"


class Connection:
    """A channel to one endpoint."""

    def __init__(self, endpoint: str, target: EtcdTarget) -> None:
        self.endpoint = endpoint
        self._target = target
        self._channel: grpc.aio.Channel | None = None
        self._tunnel: Tunnel | None = None

    async def dial(self) -> grpc.aio.Channel:
        """The connected channel. Raises ConnectionFailed, naming the endpoint and the reason, when there is nobody
        or nobody answers within the dial timeout.
        """
        channel = self._channel or await self._open()
        self._channel = channel
        try:
            async with asyncio.timeout(self._target.dial_timeout):
                await self._until_ready(channel)
        except TimeoutError:
            await self.drop()
            raise ConnectionFailed(
                f"cannot connect to {self.endpoint}: no answer within {self._target.dial_timeout:g} s"
            ) from None
        return channel

    async def drop(self) -> None:
        """Close the channel; the next dial starts afresh, without the backoff of this one."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close(grace=None)
        if self._tunnel is not None:
            await self._tunnel.close()
            self._tunnel = None

    async def _open(self) -> grpc.aio.Channel:
        address, secure = split_endpoint(self.endpoint, self._target.tls)
        if secure and self._target.tls.unverified:
            self._tunnel = Tunnel(address, self._target.tls)
            options = [*self._options(), ("grpc.default_authority", address)]
            return grpc.aio.insecure_channel(await self._tunnel.open(), options=options)
        if secure:
            return grpc.aio.secure_channel(address, _credentials(self._target.tls), options=self._options())
        return grpc.aio.insecure_channel(address, options=self._options())

    async def _until_ready(self, channel: grpc.aio.Channel) -> None:
        state = channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                reason = (self._tunnel.failure if self._tunnel else "") or await _reason(channel)
                await self.drop()
                raise ConnectionFailed(f"cannot connect to {self.endpoint}: {reason}")
            await channel.wait_for_state_change(state)
            state = channel.get_state(try_to_connect=True)

    def _options(self) -> list[tuple[str, int | str]]:
        target = self._target
        return [
            ("grpc.max_send_message_length", target.max_send),
            ("grpc.max_receive_message_length", target.max_receive),
            ("grpc.keepalive_time_ms", max(1, int(target.keepalive_time * 1000))),
            ("grpc.keepalive_timeout_ms", max(1, int(target.keepalive_timeout * 1000))),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 1),
            ("grpc.primary_user_agent", _USER_AGENT),
        ]


async def _reason(channel: grpc.aio.Channel) -> str:
    """Why a channel cannot connect: gRPC tells only the calls that fail by it."""
    try:
        await channel.unary_unary("/etcdserverpb.Maintenance/Status", None, None)(b"", timeout=1)
    except grpc.aio.AioRpcError as error:
        return _plain(error.details() or "no reason given")
    return "the connection came and went"


def _plain(text: str) -> str:
    """The last cause in gRPC's chain, without its status and the resolved address."""
    cause = text.rpartition("last error: ")[2]
    return re.sub(r"^[A-Z]+: (?:(?:ipv[46]|unix):\S+: )?", "", cause)


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    if bool(tls.cert) != bool(tls.key):
        raise InvalidInput("a client certificate needs both --cert and --key")
    return grpc.ssl_channel_credentials(
        root_certificates=_pem(tls.cacert),
        private_key=_pem(tls.key),
        certificate_chain=_pem(tls.cert),
    )


def _pem(path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from error
