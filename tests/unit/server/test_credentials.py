"""Who a request comes from, as the server tells the node."""

import asyncio
from pathlib import Path

import grpc.aio
import pytest

from brainctl.server.app import Server
from brainctl.server.tls.context import ServerTls
from tests.unit.server.echo import PUT, EchoNode
from tests.unit.server.running import running
from tests.unit.server.test_tls import Authority, credentials_of, options

Metadata = tuple[tuple[str, str], ...]


@pytest.mark.parametrize(
    ("metadata", "token"),
    [
        ((), None),
        ((("token", "abc.1"),), "abc.1"),
        ((("authorization", "Bearer abc"),), "Bearer abc"),
        ((("authorization", "other"), ("token", "abc.1")), "abc.1"),
        ((("token", "abc.1"), ("authorization", "other")), "abc.1"),
        ((("token", ""),), ""),
    ],
)
def test_the_token_of_a_call(metadata: Metadata, token: str | None) -> None:
    async def story() -> None:
        async with running() as server:
            for seconds in (None, 5, 5):  # with a deadline the head is remembered
                await server.unary(PUT, b"x", metadata=metadata, timeout=seconds)
            assert server.node.credentials == [(token, None)] * 3

    asyncio.run(story())


@pytest.mark.parametrize(("client_cert_auth", "user"), [(True, "alice"), (False, None)])
def test_a_certificate_names_a_user_where_all_have_to_show_one(
    tmp_path: Path, client_cert_auth: bool, user: str | None
) -> None:
    authority = Authority(tmp_path, "authority")
    tls = ServerTls(options(authority, trusted_ca_file=str(authority.file), client_cert_auth=client_cert_auth))
    alice = authority.issue("alice")

    async def story() -> None:
        node = EchoNode()
        server = Server(node)
        address = await server.start("127.0.0.1:0", tls)
        port = address.rpartition(":")[2]
        credentials = credentials_of(authority.file, alice)
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
            await channel.unary_unary(PUT)(b"x", timeout=120)
        await server.stop(0)
        assert node.credentials == [(None, user)]

    asyncio.run(story())
