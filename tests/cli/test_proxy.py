"""Proxies in the environment are used as etcdctl uses them: for gRPC by HTTPS_PROXY alone, and never for loopback."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from brainctl.cli.server_memory import resident_bytes
from brainctl.cli.settings import resolve
from brainctl.errors import ConnectionFailed
from brainctl.stores.etcd.proxy import grpc_uri, proxy_of
from brainctl.stores.etcd.target import EtcdTarget, Tls
from brainctl.stores.registry import open_store
from tests.cli.connecting import Proxy
from tests.peers.certificates import Authority
from tests.peers.ports import free_port
from tests.peers.servers import Brainctl, Etcd, brainctl, etcdctl

VARIABLES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "grpc_proxy", "all_proxy", "ALL_PROXY")
HTTPS = {"https_proxy": "http://proxy:3128"}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)


def ask(url: str, target: EtcdTarget) -> None:
    """Reach the store and hear its status."""

    async def work() -> None:
        store = await open_store(url, target)
        try:
            await store.status()
        finally:
            await store.close()

    asyncio.run(asyncio.wait_for(work(), 60))


@pytest.mark.parametrize("variable", VARIABLES)
def test_no_proxy_is_in_the_way_to_this_machine(
    variable: str, etcd: Etcd, brainctl_server: Brainctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    for endpoint in (etcd.endpoint, f"localhost:{etcd.port}", f"http://:{etcd.port}", f"0.0.0.0:{etcd.port}"):
        ask("", EtcdTarget((endpoint,)))
    ask(f"file://{brainctl_server.directory / 'data'}", EtcdTarget(()))
    assert resident_bytes(etcd.endpoint, resolve({}, {})) > 0


def test_the_commands_too(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC reads the environment by itself, when a process begins."""
    for variable in VARIABLES:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    assert etcdctl(etcd.endpoint, "put", "proxy", "1").stdout == "OK\n"
    assert brainctl("--endpoints", etcd.endpoint, "put", "proxy", "2").stdout == "OK\n"


def test_a_migration_and_a_comparison_too(etcd: Etcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    etcdctl(etcd.endpoint, "put", "proxy", "1")
    for variable in VARIABLES:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    sides = ("--from", f"etcd://{etcd.endpoint}", "--to", f"file://{tmp_path / 'target'}")
    for command in ("migrate", "verify"):
        done = brainctl(command, *sides, "--history", "none") if command == "migrate" else brainctl(command, *sides)
        assert done.returncode == 0, (command, done.stderr)


def test_they_reach_another_machine_through_https_proxy(
    etcd: Etcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every connection of both: the change stream, leases, users, and the target of a comparison."""

    async def work() -> None:
        async with Proxy(etcd.port) as proxy:
            monkeypatch.setenv("https_proxy", f"http://{proxy.endpoint}")
            directory = f"file://{tmp_path / 'target'}"
            for argv in (
                ("migrate", "--from", "etcd://source.test:1", "--to", directory, "--history", "none"),
                ("verify", "--from", "etcd://source.test:1", "--to", directory),
                ("verify", "--from", directory, "--to", "etcd://target.test:2"),
            ):
                before = len(proxy.asked)
                done = await asyncio.to_thread(brainctl, *argv)
                assert done.returncode == 0, (argv, done.stderr)
                assert set(proxy.asked[before:]) == {next(word for word in argv if "test:" in word)[7:]}

    etcdctl(etcd.endpoint, "put", "proxy", "1")
    asyncio.run(asyncio.wait_for(work(), 240))


def test_tls_without_verification_goes_straight_to_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
    with Brainctl(tmp_path / "server", authority=Authority(tmp_path, "authority")) as server:
        for tls in (Tls(unverified=True), Tls(cacert=str(tmp_path / "authority.crt"))):
            ask("", EtcdTarget((f"https://{server.endpoint}",), tls=tls))


def test_another_machine_is_reached_through_https_proxy(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with Proxy(etcd.port) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@{proxy.endpoint}")
            for endpoint in ("etcd.test:1", "http://etcd.test:2"):
                store = await open_store("", EtcdTarget((endpoint,)))
                assert (await store.status()).version
                await store.close()
            assert proxy.asked == ["etcd.test:1", "etcd.test:2"]
            assert proxy.shown == ["Basic bWU6cEBzcw=="] * 2

    asyncio.run(asyncio.wait_for(work(), 60))


@pytest.mark.parametrize("tls", [Tls(unverified=True), Tls(required=True)])
def test_tls_to_another_machine_goes_through_it(tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(port: int) -> None:
        async with Proxy(port) as proxy:
            monkeypatch.setenv("https_proxy", f"http://me:word@{proxy.endpoint}")
            store = await open_store("", EtcdTarget(("https://etcd.test:1",), tls=tls))
            if tls.unverified:
                assert (await store.status()).version
            else:  # the certificate is not for that name
                with pytest.raises(ConnectionFailed):
                    await store.status()
            await store.close()
            assert set(proxy.asked) == {"etcd.test:1"}
            assert set(proxy.shown) == {"Basic bWU6d29yZA=="}

    with Brainctl(tmp_path / "server", authority=Authority(tmp_path, "authority")) as server:
        asyncio.run(asyncio.wait_for(work(server.port), 60))


def test_a_proxy_that_refuses_is_named(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of the etcd API is no proxy."""
    monkeypatch.setenv("https_proxy", etcd.endpoint)
    for tls in (Tls(), Tls(unverified=True)):
        with pytest.raises(ConnectionFailed, match=r"cannot connect to https://etcd\.test:1"):
            ask("", EtcdTarget(("https://etcd.test:1",), tls=tls))


@pytest.mark.parametrize(
    ("host", "environ", "used"),
    [
        ("a.example", {}, False),
        ("a.example", HTTPS, True),
        ("a.example", {"HTTPS_PROXY": "proxy"}, True),
        ("a.example", {"http_proxy": "http://proxy", "grpc_proxy": "http://proxy"}, False),
        ("a.example", {"https_proxy": "http://:x"}, False),
        ("localhost", HTTPS, False),
        ("127.3.2.1", HTTPS, False),
        ("::1", HTTPS, False),
        ("::ffff:127.0.0.1", HTTPS, False),
        ("localhost.example", HTTPS, True),
        ("a.example", HTTPS | {"NO_PROXY": "example"}, False),
        ("a.example", HTTPS | {"no_proxy": "b.example, .example"}, False),
        ("example", HTTPS | {"no_proxy": ".example"}, True),
        ("a.example", HTTPS | {"no_proxy": "*.example"}, False),
        ("an-example", HTTPS | {"no_proxy": "example"}, True),
        ("a.example", HTTPS | {"no_proxy": "A.EXAMPLE:2379"}, False),
        ("a.example", HTTPS | {"no_proxy": "a.example:1"}, True),
        ("a.example", HTTPS | {"no_proxy": "*"}, False),
        ("a.example", HTTPS | {"NO_PROXY": "b", "no_proxy": "*"}, True),
        ("10.1.2.3", HTTPS | {"NO_PROXY": "10.0.0.0/8"}, False),
        ("10.1.2.3", HTTPS | {"NO_PROXY": "10.1.2.3"}, False),
        ("10.1.2.3", HTTPS | {"NO_PROXY": "10.1.2.3:80"}, True),
        ("10.1.2.3", HTTPS | {"NO_PROXY": ".3,11.0.0.0/8,10.1.2.4,x/y"}, True),
        ("fd00::1", HTTPS | {"NO_PROXY": "fd00::/8"}, False),
        ("fd00::1", HTTPS | {"NO_PROXY": "[fd00::1]:2379"}, False),
        ("fd00::1", HTTPS | {"NO_PROXY": "[fd00::2]"}, True),
    ],
)
def test_the_rules_are_gos(host: str, environ: dict[str, str], used: bool) -> None:
    assert (proxy_of(host, "2379", environ) is not None) is used


def test_plain_http_has_a_proxy_of_its_own() -> None:
    both: dict[str, Any] = {**HTTPS, "http_proxy": "http://plain:80"}
    found = proxy_of("a.example", "80", both, plain_http=True)
    assert found is not None
    assert found.hostname == "plain"


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("proxy:3128", "http://proxy:3128"),
        ("https://proxy", "http://proxy:443"),
        ("socks5://u:p%40@[::1]:1080/x", "http://u:p%40@[::1]:1080"),
    ],
)
def test_grpc_is_given_a_proxy_that_it_understands(given: str, uri: str) -> None:
    found = proxy_of("a.example", "1", {"https_proxy": given})
    assert found is not None
    assert grpc_uri(found) == uri
