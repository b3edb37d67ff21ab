"""Who the gateway lets in: browsers of other sites not, and nobody by a certificate's name."""

import asyncio
import ssl
from pathlib import Path

import pytest

from brainctl.server.app import Server
from brainctl.server.gateway.access import GatewayAccess
from brainctl.server.tls.context import ServerTls
from tests.conftest import NewBrainctl, NewEtcd
from tests.unit.server.echo import EchoNode
from tests.unit.server.gateway import post
from tests.unit.server.test_tls import Authority, options

HOST = {"host": "127.0.0.1:2379"}
STRICT = GatewayAccess()


def page_of(host: str) -> dict[str, str]:
    """What a browser sends for a page that it has from a host."""
    return {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}


@pytest.mark.parametrize(
    "fields",
    [
        HOST,
        {"host": "localhost:2379"},
        {"host": "[::1]:2379"},
        {"host": "10.1.2.3"},
        {},
        {**HOST, "content-type": "application/json; charset=utf-8"},
        {**HOST, "content-type": "application/x-www-form-urlencoded"},
        {**HOST, "content-type": "text/plain;charset=UTF-8"},
        {**HOST, "content-type": "application/octet-stream"},
        {**HOST, "content-type": "multipart/form-data; boundary=x"},
        {"host": "etcd.default.svc.cluster.local:2379"},
        {"host": "upstream_of_nginx"},
        {**HOST, "origin": "http://127.0.0.1:2379"},
        {**HOST, "sec-fetch-site": "same-origin"},
    ],
)
def test_programs_and_own_pages_come_in(fields: dict[str, str]):
    assert STRICT.refusal(fields, secure=False) is None


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"host": "rebound.example:2379", "origin": "http://rebound.example:2379"}, 421),
        ({"host": "rebound.example:2379", "sec-fetch-site": "same-origin"}, 421),
        ({"host": "rebound.example:2379", "referer": "http://rebound.example:2379/"}, 421),
        ({"host": "localhost.rebound.example", "origin": "http://localhost.rebound.example"}, 421),
        ({"host": "127.0.0.1.rebound.example", "origin": "http://127.0.0.1.rebound.example"}, 421),
        ({**HOST, "origin": "https://evil.example"}, 403),
        ({**HOST, "origin": "http://127.0.0.1:8080"}, 403),
        ({**HOST, "origin": "null"}, 403),
        ({**HOST, "referer": "https://evil.example/page"}, 403),
        ({**HOST, "sec-fetch-site": "cross-site"}, 403),
        ({**HOST, "sec-fetch-site": "same-site"}, 403),
        ({**HOST, "content-type": "text/plain", "origin": "https://evil.example"}, 403),
        ({**HOST, "content-type": "text/plain", "origin": "null"}, 403),
    ],
)
def test_cve_2018_1098_and_1099(fields: dict[str, str], status: int):
    refusal = STRICT.refusal(fields, secure=False)
    assert refusal is not None
    assert refusal[0] == status


@pytest.mark.parametrize(
    ("access", "fields"),
    [
        (GatewayAccess(host_whitelist=("etcd.example",)), page_of("etcd.example:2379")),
        (GatewayAccess(host_whitelist=("*",)), page_of("any.example")),
        (GatewayAccess(cors=("https://console.example",)), {**HOST, "origin": "https://console.example"}),
        (GatewayAccess(cors=("*",)), {**HOST, "origin": "https://any.example", "sec-fetch-site": "cross-site"}),
    ],
)
def test_what_was_allowed(access: GatewayAccess, fields: dict[str, str]):
    assert STRICT.refusal(fields, secure=False) is not None
    assert access.refusal(fields, secure=False) is None


def test_a_list_of_hosts_holds_for_programs_too():
    access = GatewayAccess(host_whitelist=("etcd.example",))
    hosts = ("etcd.example", "127.0.0.1", "localhost:2379", "other.example")
    refused = [access.refusal({"host": host}, secure=False) is not None for host in hosts]
    assert refused == [False, False, False, True]


def test_over_tls_the_certificate_proves_the_host():
    own = {**page_of("etcd.example"), "origin": "https://etcd.example"}
    assert STRICT.refusal(own, secure=True) is None


def test_cve_2018_16886_the_name_in_a_certificate_is_no_user_of_the_gateway(tmp_path: Path):
    authority = Authority(tmp_path, "authority")
    rules = {"trusted_ca_file": str(authority.file), "client_cert_auth": True}
    context = ssl.create_default_context(cafile=str(authority.file))
    context.check_hostname = False  # it is the client who is in question
    context.load_cert_chain(*authority.issue("root"))
    node = EchoNode()

    async def run() -> bytes:
        server = Server(node)
        address = await server.start("127.0.0.1:0", ServerTls(options(authority, **rules)))
        reader, writer = await asyncio.open_connection(*address.split(":"), ssl=context)
        head = b"POST /v3/auth/enable HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: shown\r\n"
        writer.write(head + b"Content-Length: 2\r\n\r\n{}")
        answer = await reader.read()
        writer.close()
        await server.stop(1)
        return answer

    assert asyncio.run(run()).startswith(b"HTTP/1.1 200")
    assert node.credentials == [("shown", None)]


def test_cve_2018_1099_as_etcd_with_the_same_flag(new_etcd: NewEtcd, new_brainctl: NewBrainctl):
    flags = ("--host-whitelist", "etcd.example,10.1.2.3")
    for server in (new_etcd(*flags), new_brainctl(*flags)):
        status = {
            host: post(server.endpoint, "/v3/kv/range", {"key": "AA=="}, Host=host).status
            for host in ("etcd.example", "etcd.example:2379", "10.1.2.3", "rebound.example", "rebound.example:2379")
        }
        assert list(status.values()) == [200, 200, 200, 421, 421]


def test_cve_2018_1098_with_an_allowed_origin(new_brainctl: NewBrainctl):
    server = new_brainctl("--cors", "https://console.example")
    origins = {"https://console.example": 200, "https://evil.example": 403}
    found = {origin: post(server.endpoint, "/v3/kv/range", {"key": "AA=="}, Origin=origin).status for origin in origins}
    assert found == origins
