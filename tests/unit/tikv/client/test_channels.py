"""Connections that are closed while calls are under way."""

import asyncio
import socket

import pytest

from brainctl.tikv.client import Security, methods
from brainctl.tikv.client.channels import Channels, NoAnswer
from brainctl.tikvpb import pdpb_pb2 as pd


@pytest.mark.parametrize("closing", [True, False])
def test_a_call_whose_connection_is_closed_has_no_answer(closing: bool) -> None:
    """And one that is cancelled by its caller is cancelled, although gRPC raises the same."""

    async def run(address: str) -> None:
        channels = Channels(Security())
        call = asyncio.ensure_future(channels.call(address, methods.MEMBERS, pd.GetMembersRequest(), 60.0))
        await asyncio.sleep(0)
        if closing:
            await channels.close()
        else:
            call.cancel()
        with pytest.raises(NoAnswer if closing else asyncio.CancelledError):
            await call
        await channels.close()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(asyncio.wait_for(run(f"127.0.0.1:{silent.getsockname()[1]}"), 120))
