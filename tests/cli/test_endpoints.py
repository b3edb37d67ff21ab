"""Every form of an endpoint that etcdctl takes, and what several of them cost."""

import asyncio
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from brainctl.cli.etcdctl_dialect import translate
from brainctl.cli.settings import resolve
from brainctl.errors import BadArguments, ConnectionFailed
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.target import EtcdTarget, Tls, split_endpoint
from brainctl.stores.registry import open_store
from tests.peers.ports import free_port
from tests.peers.servers import Etcd, etcdctl

FORMS = [
    "127.0.0.1:{port}",
    "localhost:{port}",
    "LOCALHOST:{port}",
    ":{port}",
    "0.0.0.0:{port}",
    "[127.0.0.1]:{port}",
    "127.0.0.1:0{port}",
    " 127.0.0.1:{port} ",
    ",127.0.0.1:{port},",
    '"127.0.0.1:{port}"',
    "http://127.0.0.1:{port}",
    "HTTP://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/v3?x=a://b#c",
    "http://user:word@127.0.0.1:{port}",
    "http://:{port}",
    "unix:{socket}",
    "unix://{socket}",
]
"""Those that etcdctl takes for a server at a port of 127.0.0.1 and at a Unix socket."""
OURS = ["etcd://127.0.0.1:{port}", "etcd:127.0.0.1:{port}", "127.0.0.1:{port} 127.0.0.1:{port}", "etcd://:{port}/"]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where a real etcd is."""
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="e"))) / "my.sock"
        server = Etcd(tmp_path_factory.mktemp("etcd"))
        server.flags = ("--listen-client-urls", f"http://{server.endpoint},unix://{path}", *server.flags)
        stack.enter_context(server)
        yield {"port": str(server.port), "socket": str(path)}


def reached(endpoints: str) -> bool:
    """Whether a command with these --endpoints reaches a server."""

    async def work() -> bool:
        settings = resolve({"endpoints": endpoints}, {})
        store = await open_store("", EtcdTarget(settings.endpoints))
        try:
            return (await store.status()).version != ""
        finally:
            await store.close()

    return asyncio.run(asyncio.wait_for(work(), 60))


@pytest.mark.parametrize("form", FORMS + OURS)
def test_an_endpoint_in_any_form_is_reached(form: str, places: dict[str, str]) -> None:
    assert reached(form.format_map(places))


def test_etcdctl_takes_these_forms(places: dict[str, str]) -> None:
    """So that the list is etcdctl's."""
    for form in FORMS[3:6] + FORMS[8:10] + FORMS[12:]:
        assert etcdctl(form.format_map(places), "get", "x").returncode == 0, form


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("a", "a:2379"),
        ("http://a/", "a:2379"),
        ("http://a:", "a:2379"),
        (":2379", "localhost:2379"),
        ("::1", "[::1]:2379"),
        ("fe80::1%eth0", "[fe80::1%eth0]:2379"),
        ("[::1]", "[::1]:2379"),
        ("http://[::1]/x", "[::1]:2379"),
        ("https://u@[::1]:1", "[::1]:1"),
        ("unix:a b", "unix:a b"),
        ("unixs://a", "unix:a"),
        ("UNIX:///a", "unix:/a"),
    ],
)
def test_an_address_is_whole(endpoint: str, address: str) -> None:
    assert split_endpoint(endpoint, Tls())[0] == address


@pytest.mark.parametrize(
    ("endpoint", "secure"),
    [("a", True), ("etcd://a", True), ("http://a", False), ("https://a", True), ("unix:a", True), ("unixs:a", True)],
)
def test_certificates_ask_for_tls_where_the_scheme_does_not_forbid_it(endpoint: str, secure: bool) -> None:
    assert split_endpoint(endpoint, Tls(cacert="ca.crt"))[1] is secure
    assert split_endpoint(endpoint, Tls())[1] is (endpoint.partition(":")[0] in ("https", "unixs"))


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        ("", "is no address"),
        ("http://", "is no address"),
        ("http:///path", "is no address"),
        ("http://a:1:2", "is no address"),
        ("//a:1", "is no address"),
        ("ipv4:127.0.0.1:1", "is no address"),
        ("[::1", "is no address"),
        ("ftp://a", "unknown scheme 'ftp'"),
        ("dns:///a:1", "unknown scheme 'dns'"),
        ("a:b", "'b' for a port"),
        ("a:0", "'0' for a port"),
        ("a:65536", "'65536' for a port"),
        ("::1:2379", r"write \[::1\]:2379"),
        ("unix:", "names no socket"),
    ],
)
def test_what_is_no_endpoint_is_told(endpoint: str, text: str) -> None:
    with pytest.raises(BadArguments, match=text):
        split_endpoint(endpoint, Tls())


def test_no_endpoint_at_all_is_etcdctls_failure() -> None:
    for none in ("", " ", ",", '""'):
        with pytest.raises(ConnectionFailed, match="no available endpoints"):
            reached(none)


@pytest.mark.parametrize(
    ("argv", "joined"),
    [
        (["--endpoints", "a", "get", "--endpoints=b", "k"], ["get", "--endpoints=a,b", "k"]),
        (["get", "--endpoints=a", "--endpoints", "b,c", "k"], ["get", "--endpoints=a,b,c", "k"]),
        (["--endpoints", "a", "lock", "n", "--", "x", "--endpoints=b"],) * 2,
        (["get", "k", "--endpoints"],) * 2,
    ],
)
def test_endpoints_given_several_times_add_up(argv: list[str], joined: list[str]) -> None:
    assert translate(argv) == joined


def test_silent_endpoints_cost_no_time_limit_where_another_answers(places: dict[str, str]) -> None:
    """They take connections and say nothing; with limits longer than a test may take, waiting for one would show."""
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(2)]
        endpoints = [*(f"127.0.0.1:{port}" for port in silent), f"127.0.0.1:{places['port']}"]
        target = replace(EtcdTarget(tuple(endpoints)), dial_timeout=3600, command_timeout=60)

        async def work() -> None:
            store = await open_store("", target)
            await asyncio.gather(*(store.put(pb.PutRequest(key=b"several-%d" % i)) for i in range(3)))
            assert (
                await store.range(pb.RangeRequest(key=b"several-", range_end=b"several.", count_only=True))
            ).count == 3
            await store.close()

        asyncio.run(asyncio.wait_for(work(), 60))


def test_each_endpoint_that_cannot_be_reached_is_named() -> None:
    nobody = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = EtcdTarget((*nobody, f"127.0.0.1:{silent.getsockname()[1]}"), dial_timeout=1)

        async def work() -> None:
            store = await open_store("", target)
            with pytest.raises(ConnectionFailed) as raised:
                await store.put(pb.PutRequest(key=b"x"))
            assert [endpoint in str(raised.value) for endpoint in target.endpoints] == [True] * 3
            await store.close()

        asyncio.run(asyncio.wait_for(work(), 60))


def test_no_limit_for_dialing_is_that_of_the_request(places: dict[str, str]) -> None:
    for limit in (0, -1):
        target = EtcdTarget((f"127.0.0.1:{places['port']}",), dial_timeout=limit)

        async def work(target: EtcdTarget) -> None:
            store = await open_store("", target)
            await store.status()
            await store.close()

        asyncio.run(asyncio.wait_for(work(target), 60))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        target = EtcdTarget((f"127.0.0.1:{port}",), dial_timeout=0, command_timeout=0.2)
        with pytest.raises(ConnectionFailed, match=r"no answer within 0\.2 s"):
            asyncio.run(asyncio.wait_for(work(target), 60))
