"""TLS of the server, seen by a real gRPC client and by the TLS library itself."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from brainctl.clock import SystemClock
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.node import Node
from brainctl.server.app import Server
from brainctl.server.tls import ServerTls, TlsOptions
from tests.contract.stores import LoopMedium
from tests.peers.certificates import NOW, Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def options(authority: Authority, **rules: object) -> TlsOptions:
    cert, key = authority.issue("server")
    return TlsOptions(str(cert), str(key), **rules)  # type: ignore[arg-type]


@asynccontextmanager
async def serving(tls: ServerTls) -> AsyncIterator[int]:
    node = Node(LoopMedium(), SystemClock())
    server = Server(node)
    address = await server.start("127.0.0.1:0", tls)
    try:
        yield int(address.rpartition(":")[2])
    finally:
        await server.stop(0)


def credentials_of(root: Path, client: tuple[Path, Path] | None) -> grpc.ChannelCredentials:
    pair = [None, None] if client is None else [client[1].read_bytes(), client[0].read_bytes()]
    return grpc.ssl_channel_credentials(root.read_bytes(), *pair)


async def ask(port: int, root: Path, client: tuple[Path, Path] | None = None) -> pb.RangeResponse:
    credentials = credentials_of(root, client)
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
        call = channel.unary_unary(
            "/etcdserverpb.KV/Range", pb.RangeRequest.SerializeToString, pb.RangeResponse.FromString
        )
        return await call(pb.RangeRequest(key=b"k"), timeout=120)


def attempt(tls: ServerTls, action: Callable[[int], Awaitable[object]]) -> object:
    async def run() -> object:
        async with serving(tls) as port:
            return await action(port)

    return asyncio.run(run())


def test_a_client_that_trusts_the_authority_is_served(authority: Authority) -> None:
    tls = ServerTls(options(authority))
    assert attempt(tls, lambda port: ask(port, authority.file))


def test_control_a_client_of_another_authority_refuses_the_server(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    with pytest.raises(grpc.RpcError):
        attempt(ServerTls(options(authority)), lambda port: ask(port, other.file))


def test_client_certificates_are_demanded_and_checked(authority: Authority, tmp_path: Path) -> None:
    tls = ServerTls(options(authority, trusted_ca_file=str(authority.file), client_cert_auth=True))
    good = authority.issue("client")
    assert attempt(tls, lambda port: ask(port, authority.file, good))
    expired = authority.issue("late", until=NOW + dt.timedelta(days=1))
    stranger = Authority(tmp_path, "other").issue("client", stem="stranger")
    for bad in (None, expired, stranger):
        with pytest.raises(grpc.RpcError):
            attempt(tls, lambda port, bad=bad: ask(port, authority.file, bad))


def test_only_the_allowed_common_name_comes_in(authority: Authority) -> None:
    rules = {"trusted_ca_file": str(authority.file), "client_cert_auth": True, "allowed_cn": "operator"}
    tls = ServerTls(options(authority, **rules))
    assert attempt(tls, lambda port: ask(port, authority.file, authority.issue("operator")))
    with pytest.raises(grpc.RpcError):
        attempt(tls, lambda port: ask(port, authority.file, authority.issue("somebody")))


def test_a_revoked_certificate_does_not_come_in_whatever_the_age_of_the_list(authority: Authority) -> None:
    good, bad = authority.issue("good"), authority.issue("bad")
    crl = authority.directory / "crl"
    crl.write_bytes(authority.revoke(bad[0]))
    tls = ServerTls(options(authority, trusted_ca_file=str(authority.file), client_cert_auth=True, crl_file=str(crl)))
    assert attempt(tls, lambda port: ask(port, authority.file, good))
    with pytest.raises(grpc.RpcError):
        attempt(tls, lambda port: ask(port, authority.file, bad))
    crl.write_bytes(authority.revoke(good[0]))
    tls.refresh()
    assert attempt(tls, lambda port: ask(port, authority.file, bad))
    with pytest.raises(grpc.RpcError):
        attempt(tls, lambda port: ask(port, authority.file, good))
    crl.write_bytes(b"no list")
    tls.refresh()
    assert attempt(tls, lambda port: ask(port, authority.file, bad))


async def served_certificate(port: int) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return bytes(certificate)


def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(authority: Authority) -> None:
    tls = ServerTls(options(authority))

    async def renew(port: int) -> None:
        first = await served_certificate(port)
        cert, _ = authority.issue("server")
        tls.refresh()
        second = await served_certificate(port)
        assert first != second
        cert.write_bytes(b"not a certificate")
        tls.refresh()
        assert await served_certificate(port) == second

    attempt(tls, renew)


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ({"cipher_suites": ("TLS_RSA_WITH_AES_128_CBC_SHA",)}, "too weak"),
        ({"cipher_suites": ("TLS_AES_128_GCM_SHA256",)}, "TLS 1.3"),
        ({"min_version": "TLS1.1"}, "unexpected TLS version"),
        ({"min_version": "TLS1.3", "max_version": "TLS1.2"}, "greater than max"),
        ({"allowed_cn": "x"}, "needs --client-cert-auth"),
        ({"client_cert_auth": True}, "needs --trusted-ca-file"),
        ({"trusted_ca_file": "/nonexistent"}, "cannot use the TLS files"),
        ({"crl_file": "/nonexistent"}, "cannot use the TLS files"),
    ],
)
def test_rules_that_cannot_be_kept_are_refused(authority: Authority, rules: dict[str, object], text: str) -> None:
    with pytest.raises(BadArguments, match=text):
        ServerTls(options(authority, **rules))


def test_cipher_suites_have_the_older_names_of_etcd_too(authority: Authority) -> None:
    def chosen(*names: str) -> list[str]:
        tls = ServerTls(options(authority, cipher_suites=names))
        return [cipher["name"] for cipher in tls.context.get_ciphers() if cipher["protocol"] == "TLSv1.2"]

    old = [f"TLS_ECDHE_{kind}_WITH_CHACHA20_POLY1305" for kind in ("ECDSA", "RSA")]
    assert (
        chosen(*old)
        == chosen(*[f"{name}_SHA256" for name in old])
        == [
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "ECDHE-RSA-CHACHA20-POLY1305",
        ]
    )


def test_old_tls_versions_are_refused(authority: Authority) -> None:
    context = ssl.create_default_context(cafile=str(authority.file))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    tls = ServerTls(options(authority, min_version="TLS1.3"))

    async def old(port: int) -> None:
        _, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writer.close()
        await writer.wait_closed()

    with pytest.raises((ssl.SSLError, ConnectionError)):
        attempt(tls, old)
    assert attempt(ServerTls(options(authority)), old) is None
