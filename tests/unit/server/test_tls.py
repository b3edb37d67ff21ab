"""TLS of the server, seen by a real gRPC client and by the TLS library itself."""

import asyncio
import datetime as dt
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from brainctl.clock import SystemClock
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.node import Node
from brainctl.server.app import Server
from brainctl.server.tls.context import ServerTls, TlsOptions
from brainctl.server.tls.suites import NAMES, ciphers
from tests.contract.stores import LoopBackend
from tests.peers.certificates import NOW, Authority, ServerKey


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def options(authority: Authority, **rules: object) -> TlsOptions:
    cert, key = authority.issue("server")
    return TlsOptions(str(cert), str(key), **rules)  # type: ignore[arg-type]


@asynccontextmanager
async def serving(tls: ServerTls) -> AsyncIterator[int]:
    node = Node(LoopBackend(), SystemClock())
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


def test_a_swap_that_keeps_times_and_sizes_is_seen_at_the_next_handshake(authority: Authority) -> None:
    """As by cp -p, tar and image builders; there is no turn of the clock between the swap and the handshake."""
    used = options(authority)
    tls = ServerTls(used)
    files = [Path(used.cert_file), Path(used.key_file)]
    for path in files:
        os.utime(path, (1, 1))

    async def swap(port: int) -> None:
        first = await served_certificate(port)
        assert await served_certificate(port) == first
        authority.issue("server")
        for path in files:
            os.utime(path, (1, 1))
        assert await served_certificate(port) != first

    attempt(tls, swap)


def test_authorities_and_revoked_certificates_are_renewed_as_well(authority: Authority, tmp_path: Path) -> None:
    crl, trusted = tmp_path / "crl", tmp_path / "trusted"
    crl.write_bytes(authority.revoke())
    trusted.write_bytes(authority.file.read_bytes())
    tls = ServerTls(options(authority, trusted_ca_file=str(trusted), client_cert_auth=True, crl_file=str(crl)))
    other = Authority(tmp_path, "other")
    clients = authority.issue("client"), other.issue("client", stem="new")

    async def renew(port: int) -> None:
        assert await ask(port, authority.file, clients[0])
        with pytest.raises(grpc.RpcError):
            await ask(port, authority.file, clients[1])
        trusted.write_bytes(authority.file.read_bytes() + other.file.read_bytes())
        assert await ask(port, authority.file, clients[1])
        crl.write_bytes(authority.revoke(clients[0][0]))
        with pytest.raises(grpc.RpcError):
            await ask(port, authority.file, clients[0])
        assert await ask(port, authority.file, clients[1])

    attempt(tls, renew)


PRIVATE = serialization.PrivateFormat
KEYS = {
    "RSA in PKCS#1": (rsa.generate_private_key(65537, 2048), PRIVATE.TraditionalOpenSSL),
    "RSA in PKCS#8": (rsa.generate_private_key(65537, 2048), PRIVATE.PKCS8),
    "ECDSA in SEC 1": (ec.generate_private_key(ec.SECP384R1()), PRIVATE.TraditionalOpenSSL),
    "Ed25519": (ed25519.Ed25519PrivateKey.generate(), PRIVATE.PKCS8),
}


def write_pair(authority: Authority, key: ServerKey, form: PRIVATE, password: bytes = b"") -> TlsOptions:
    cert, file = authority.sign("kinds", key)
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    file.write_bytes(parameters + key.private_bytes(serialization.Encoding.PEM, form, how))
    return TlsOptions(str(cert), str(file))


@pytest.mark.parametrize("name", KEYS)
def test_every_kind_of_key_that_etcd_takes(authority: Authority, name: str) -> None:
    tls = ServerTls(write_pair(authority, *KEYS[name]))
    context = ssl.create_default_context(cafile=str(authority.file))

    async def talk(port: int) -> None:  # gRPC's own library does not know Ed25519
        _, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writer.close()

    attempt(tls, talk)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(authority: Authority) -> None:
    key, form = KEYS["ECDSA in SEC 1"]
    with pytest.raises(BadArguments, match=r"kinds.key: the key is encrypted"):
        ServerTls(write_pair(authority, key, form, b"secret"))


@pytest.mark.parametrize(
    ("cert", "key", "text"),
    [
        ("server.crt", "client.key", r"the key in .*client.key is not that of the certificate in .*server.crt"),
        ("server.key", "server.key", r"server.key: there is no block of PEM with CERTIFICATE"),
        ("server.crt", "server.crt", r"server.crt: there is no block of PEM with PRIVATE KEY"),
        ("server.crt", "none.key", r"none.key: No such file"),
    ],
)
def test_files_that_cannot_be_used_are_named(authority: Authority, cert: str, key: str, text: str) -> None:
    for name in ("server", "client"):
        authority.issue(name)
    with pytest.raises(BadArguments, match=text) as refused:
        ServerTls(TlsOptions(str(authority.directory / cert), str(authority.directory / key)))
    assert "_ssl.c" not in str(refused.value)


def test_an_authority_of_clients_alone_demands_certificates_without_making_users_of_them(authority: Authority) -> None:
    """As in etcd, where --client-cert-auth only adds that the common name is a user's."""
    tls = ServerTls(options(authority, trusted_ca_file=str(authority.file)))
    assert attempt(tls, lambda port: ask(port, authority.file, authority.issue("root")))
    with pytest.raises(grpc.RpcError):
        attempt(tls, lambda port: ask(port, authority.file))
    assert tls.user({"subject": ((("commonName", "root"),),)}) is None


def test_client_certificates_without_a_file_are_those_of_the_systems_authorities(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    tls = ServerTls(options(authority, client_cert_auth=True))
    assert attempt(tls, lambda port: ask(port, authority.file, authority.issue("client")))
    with pytest.raises(grpc.RpcError):
        attempt(tls, lambda port: ask(port, authority.file))


def test_an_authority_that_is_no_root_is_trusted(authority: Authority, tmp_path: Path) -> None:
    middle = Authority(tmp_path, "middle", signed_by=authority)
    tls = ServerTls(options(authority, trusted_ca_file=str(middle.file), client_cert_auth=True))
    assert attempt(tls, lambda port: ask(port, authority.file, middle.issue("client")))


@pytest.mark.parametrize(
    ("names", "comes_in"),
    [
        (("other", "localhost"), True),
        (("LOCALHOST.",), True),
        (("127.0.0.1",), True),
        (("a.wild.example",), True),
        (("b.a.wild.example",), False),
        (("wild.example",), False),
        (("client",), False),
        (("127.0.0.2",), False),
    ],
)
def test_client_certificates_must_name_an_allowed_host(
    authority: Authority, names: tuple[str, ...], comes_in: bool
) -> None:
    rules = {"trusted_ca_file": str(authority.file), "allowed_hostnames": names}
    tls = ServerTls(options(authority, **rules))
    alternatives = (("DNS", "localhost"), ("DNS", "*.wild.example"), ("IP Address", "127.0.0.1"))
    certificate = {"serialNumber": "01", "subject": ((("commonName", "client"),),), "subjectAltName": alternatives}
    assert tls.permits(certificate) is comes_in
    assert not tls.permits(None)


def test_several_lists_of_revoked_certificates_in_pem(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    clients = authority.issue("first"), other.issue("second"), authority.issue("third")
    lists = [authority.revoke(clients[0][0]), other.revoke(clients[1][0])]
    crl = tmp_path / "crl"
    pem = [x509.load_der_x509_crl(each).public_bytes(serialization.Encoding.PEM) for each in lists]
    crl.write_bytes(b"a comment\n".join(pem))
    tls = ServerTls(options(authority, trusted_ca_file=str(authority.file), crl_file=str(crl)))
    serials = [x509.load_pem_x509_certificate(cert.read_bytes()).serial_number for cert, _ in clients]
    assert [tls.permits({"serialNumber": f"{serial:X}"}) for serial in serials] == [False, False, True]


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ({"cipher_suites": ("TLS_RSA_WITH_NULL_SHA",)}, "unexpected TLS cipher suite"),
        ({"cipher_suites": ("TLS_RSA_WITH_RC4_128_SHA",)}, "none of these cipher suites can be served"),
        ({"cipher_suites": ("TLS_AES_128_GCM_SHA256",), "max_version": "TLS1.2"}, "belong to TLS 1.3"),
        ({"min_version": "TLS1.1"}, "unexpected TLS version"),
        ({"min_version": "TLS1.3", "max_version": "TLS1.2"}, "greater than max"),
        ({"allowed_cn": "x"}, "--allowed-cn needs --trusted-ca-file or --client-cert-auth"),
        ({"allowed_hostnames": ("x",)}, "--client-cert-allowed-hostname needs --trusted-ca-file"),
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


@pytest.mark.parametrize(
    ("suites", "offered"),
    [
        (("TLS_AES_128_GCM_SHA256",), []),
        (("TLS_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), ["ECDHE-RSA-AES128-GCM-SHA256"]),
        (("TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_RC4_128_SHA"), ["AES128-GCM-SHA256"]),
        (("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",), ["ECDHE-ECDSA-AES256-SHA"]),
    ],
)
def test_lists_of_hardened_installations_are_taken(
    authority: Authority, suites: tuple[str, ...], offered: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """They name suites of TLS 1.3, which cannot be chosen; what is weak is said."""
    context = ServerTls(options(authority, cipher_suites=suites)).context
    if offered:
        assert [each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"] == offered
    else:
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert bool(caplog.messages) is any(name.startswith(("TLS_RSA", "TLS_ECDHE_ECDSA")) for name in suites)


def test_every_cipher_suite_of_etcd_has_a_meaning(authority: Authority) -> None:
    with pytest.raises(BadArguments, match="unexpected TLS cipher suite"):
        ciphers(("TLS_NOTHING",))
    context = ServerTls(options(authority, cipher_suites=tuple(sorted(NAMES)))).context
    assert len([each for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"]) == 17


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
