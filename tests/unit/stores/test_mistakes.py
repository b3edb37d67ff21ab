"""What a client says that cannot reach a server, or asks too much of it: one plain sentence with what helps, the same
for every kind of call, against etcd and brainctl.
"""

import asyncio
import datetime as dt
import os
import re
import select
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any, NamedTuple

import pytest

from brainctl.errors import (
    ApiError,
    BrainctlError,
    ConnectionFailed,
    DialTimedOut,
    ExitCode,
    InvalidInput,
    TimedOut,
    UnknownOutcome,
)
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget, Tls
from tests.peers.certificates import Authority
from tests.peers.ports import free_port
from tests.peers.servers import Brainctl, Etcd, Server, brainctl

CORE = re.compile(r"ipv4:|ssl_|SSL|C-ares|errno|RST_STREAM|recvmsg|Handshake|status:|Socket closed|Deadline|_ssl\.c")


class MutualEtcd(Etcd):
    """One that demands certificates, from the test as well."""

    def ready(self) -> bool:
        return Server.ready(self)


class World(NamedTuple):
    """The servers: plain, with TLS, and with certificates both ways; one kind each."""

    directory: Path
    authority: Authority
    ports: dict[str, int]

    def file(self, name: str) -> str:
        return str(self.directory / name)


@pytest.fixture(scope="module", params=["etcd", "brainctl"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp(request.param)
    authority, other = Authority(directory, "authority"), Authority(directory, "other")
    authority.issue("client")
    other.issue("stranger")
    authority.issue("expired", dt.datetime.now(dt.UTC) - dt.timedelta(days=1))
    (directory / "garbage.pem").write_text("no certificate")
    both = ("--client-cert-auth", "--trusted-ca-file", str(authority.file))
    servers: dict[str, Server]
    if request.param == "etcd":
        servers = {
            "plain": Etcd(directory / "plain"),
            "tls": Etcd(directory / "tls", authority=authority),
            "mutual": MutualEtcd(directory / "mutual", *both, authority=authority),
        }
    else:
        servers = {
            "plain": Brainctl(directory / "plain"),
            "tls": Brainctl(directory / "tls", authority=authority),
            "mutual": Brainctl(directory / "mutual", *both, authority=authority),
        }
    old = [str(directory / "expired.crt"), str(directory / "expired.key")]
    servers["old"] = Brainctl(directory / "old", "--cert-file", old[0], "--key-file", old[1])
    try:
        yield World(directory, authority, {name: server.start().port for name, server in servers.items()})
    finally:
        for server in servers.values():
            if server.child is not None:
                server.stop()


async def unary(store: EtcdStore) -> None:
    await store.range(pb.RangeRequest(key=b"k"))


async def write(store: EtcdStore) -> None:
    await store.put(pb.PutRequest(key=b"k"))


async def watch(store: EtcdStore) -> None:
    async def requests() -> AsyncIterator[pb.WatchRequest]:
        yield pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"k"))
        await asyncio.Event().wait()

    async for _ in store.watch(requests()):
        return


async def snapshot(store: EtcdStore) -> None:
    async for _ in store.snapshot():
        return


async def keep_alive(store: EtcdStore) -> None:
    await store.lease_keep_alive(7)


CALLS = (unary, write, watch, snapshot, keep_alive)
Call = Callable[[EtcdStore], Awaitable[None]]


async def told(call: Call, target: EtcdTarget) -> BrainctlError:
    """Make a call that fails; what it raises, which has no word of gRPC's core."""
    store = EtcdStore(target)
    try:
        with pytest.raises(BrainctlError) as refused:
            await asyncio.wait_for(call(store), 60)
    finally:
        await store.close()
    assert not CORE.search(str(refused.value)), refused.value
    assert "\n" not in str(refused.value)
    return refused.value


MISTAKES: dict[str, tuple[str, dict[str, str], str]] = {
    "http to https": ("http://127.0.0.1:{tls}", {}, "speaks TLS there: write https://"),
    "http to certificates": ("127.0.0.1:{mutual}", {}, "speaks TLS there: write https://"),
    "https to http": ("https://127.0.0.1:{plain}", {"cacert": "authority.crt"}, "not speak TLS there: write http://"),
    "wrong authority": (
        "https://127.0.0.1:{tls}",
        {"cacert": "other.crt"},
        "other.crt: name its authority with --cacert",
    ),
    "wrong name": (
        "https://127.0.0.2:{alias}",
        {"cacert": "authority.crt"},
        "is not for 127.0.0.2: use one of the names",
    ),
    "no certificate": ("https://127.0.0.1:{mutual}", {"cacert": "authority.crt"}, "--cert and --key"),
    "a stranger's certificate": (
        "https://127.0.0.1:{mutual}",
        {"cacert": "authority.crt", "cert": "stranger.crt", "key": "stranger.key"},
        "client certificate of --cert",
    ),
    "an old server": ("https://127.0.0.1:{old}", {"cacert": "authority.crt"}, "of the server has expired: renew it"),
    "nobody": ("127.0.0.1:{nobody}", {}, "nobody listens there"),
    "no name": ("no-such-host.invalid:1", {}, "there is no address for the name no-such-host.invalid"),
    "no socket": ("unix:///nowhere/socket", {}, "there is no socket at /nowhere/socket"),
    "a web server": ("127.0.0.1:{web}", {}, "speaks HTTP/1 and no gRPC"),
    "a server that hangs up": ("127.0.0.1:{closing}", {}, "closed the connection at once"),
    "a silent server": ("127.0.0.1:{silent}", {}, "no answer within 0.5 s"),
    "a silent server of TLS": ("https://127.0.0.1:{silent}", {}, "no answer within 0.5 s"),
    "a silent server, unverified": ("https://127.0.0.1:{silent}", {"unverified": "yes"}, "no answer within 0.5 s"),
    "a silent backlog": ("127.0.0.1:{full}", {}, "no answer within 0.5 s"),
    "unverified, no TLS": ("https://127.0.0.1:{plain}", {"unverified": "yes"}, "not speak TLS there: write http://"),
    "unverified, no certificate": ("https://127.0.0.1:{mutual}", {"unverified": "yes"}, "--cert and --key"),
}


def web(sock: socket.socket) -> None:
    sock.recv(1)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def closing(sock: socket.socket) -> None:
    del sock


def silent(sock: socket.socket) -> None:
    while sock.recv(1024):
        pass


def alias(sock: socket.socket, port: int) -> None:
    """Another address of the server at `port`."""
    with socket.create_connection(("127.0.0.1", port)) as there:
        while True:
            for readable in select.select([sock, there], [], [])[0]:
                data = readable.recv(1 << 16)
                if not data:
                    return
                (there if readable is sock else sock).sendall(data)


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port whose kernel takes no more connections, and says nothing about it."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


class Handler(BaseRequestHandler):
    """Has a function talk to a client."""

    def __init__(self, talk: Callable[[socket.socket], None], *arguments: Any) -> None:
        self.talk = talk
        super().__init__(*arguments)

    def handle(self) -> None:
        with suppress(ConnectionError):
            self.talk(self.request)


@contextmanager
def impostors(tls_port: int) -> Iterator[dict[str, int]]:
    """Servers that are none of etcd's API, and one more address of the server with TLS."""
    kinds = {"web": web, "closing": closing, "silent": silent, "alias": partial(alias, port=tls_port)}
    with ExitStack() as stack:
        ports = {"nobody": free_port()}
        for name, talk in kinds.items():
            server = ThreadingTCPServer(("127.0.0.2" if name == "alias" else "127.0.0.1", 0), partial(Handler, talk))
            server.daemon_threads, server.block_on_close = True, False
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            ports[name] = server.server_address[1]
        ports["full"] = stack.enter_context(full_backlog())
        yield ports


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_a_mistake_is_told_in_one_sentence_by_every_call(world: World, mistake: str) -> None:
    endpoint, files, sentence = MISTAKES[mistake]
    unverified = bool(files.get("unverified"))
    tls = Tls(**{kind: world.file(name) for kind, name in files.items() if kind != "unverified"}, unverified=unverified)

    async def run() -> None:
        with impostors(world.ports["tls"]) as ports:
            named = endpoint.format(**world.ports, **ports)
            target = EtcdTarget((named,), tls, dial_timeout=0.5 if "silent" in mistake else 60)
            for call in CALLS:
                error = await told(call, target)
                kind = DialTimedOut if "silent" in mistake else ConnectionFailed
                assert type(error) is kind  # also of a write: nothing was sent
                assert str(error).startswith(f"cannot connect to {named}: ")
                assert sentence in str(error)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("tls", "sentence"),
    [
        (Tls(cacert="garbage.pem"), "--cacert {}/garbage.pem holds no certificate in PEM"),
        (Tls(cacert="nothing.pem"), "cannot read {}/nothing.pem"),
        (Tls(cert="client.crt", key="stranger.key"), "is not that of the certificate in --cert {}/client.crt"),
        (Tls(cert="garbage.pem", key="client.key"), "must hold a certificate and its key in PEM"),
        (Tls(cert="client.crt"), "a client certificate needs both --cert and --key"),
    ],
)
@pytest.mark.parametrize("unverified", [False, True])
def test_files_that_cannot_be_used_are_named(world: World, tls: Tls, sentence: str, unverified: bool) -> None:
    if unverified and tls.cacert:
        return  # it is not read
    named = replace(
        tls, **{kind: getattr(tls, kind) and world.file(getattr(tls, kind)) for kind in ("cacert", "cert", "key")}
    )
    target = EtcdTarget((f"https://127.0.0.1:{world.ports['tls']}",), replace(named, unverified=unverified))
    for call in CALLS:
        error = asyncio.run(told(call, target))
        assert type(error) is InvalidInput
        assert sentence.format(world.directory) in str(error)


def test_limits_of_messages_name_their_flags(world: World) -> None:
    target = EtcdTarget((f"127.0.0.1:{world.ports['plain']}",))
    large = pb.PutRequest(key=b"large", value=bytes(1_000_000))

    async def send(store: EtcdStore) -> None:
        await store.put(large)

    async def send_too_much(store: EtcdStore) -> None:
        await store.put(pb.PutRequest(key=b"large", value=bytes(8_000_000)))

    async def receive(store: EtcdStore) -> None:
        await store.range(pb.RangeRequest(key=b"large"))

    async def receive_of_a_write(store: EtcdStore) -> None:
        await store.put(pb.PutRequest(key=b"large", value=b"v", prev_kv=True))

    async def run() -> None:
        store = EtcdStore(target)
        await store.put(large)
        await store.close()
        error = await told(send, replace(target, max_send=1000))
        assert "too large for this client" in str(error)
        assert "raise --max-request-bytes" in str(error)
        assert "1000 are allowed" in str(error)
        assert (error.exit_code, isinstance(error, ApiError)) == (ExitCode.ERROR, True)
        error = await told(send_too_much, replace(target, max_send=1 << 24))
        assert "the request is too large for the server" in str(error)
        error = await told(receive, replace(target, max_receive=1000))
        assert "raise --max-recv-bytes" in str(error)
        assert isinstance(error, ApiError)
        error = await told(receive_of_a_write, replace(target, max_receive=1000))  # it has happened
        assert "raise --max-recv-bytes" in str(error)
        assert type(error) is UnknownOutcome

    asyncio.run(run())


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Have a process stand still, all of its threads, until the block ends."""
    os.kill(pid, signal.SIGSTOP)
    try:
        while any(state_of(thread) not in "TX" for thread in Path(f"/proc/{pid}/task").iterdir()):
            pass
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def state_of(thread: Path) -> str:
    """The letter of /proc for what a thread does, X for one that has ended."""
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def test_a_deadline_is_one_for_every_call(world: World, tmp_path: Path) -> None:
    """The server is stopped behind a connection that was made: reads end as timed out, a write as unknown."""
    server = Brainctl(tmp_path) if "brainctl" in world.directory.name else Etcd(tmp_path)

    async def run() -> None:
        for call, kind in ((unary, TimedOut), (write, UnknownOutcome), (keep_alive, TimedOut)):
            store = EtcdStore(EtcdTarget((server.endpoint,), dial_timeout=60, command_timeout=60))
            await store.range(pb.RangeRequest(key=b"k"))
            store.target = replace(store.target, command_timeout=0.3)
            with stopped(server.pid), pytest.raises(kind) as refused:
                await call(store)
            await store.close()
            assert "no answer within 0.3 s" in str(refused.value)
            assert not CORE.search(str(refused.value))

    with server:
        asyncio.run(run())
        with stopped(server.pid):
            saved = ("snapshot", "save", str(tmp_path / "s"), "--command-timeout", "0.3s", "--dial-timeout", "60s")
            done = brainctl(*saved, "--endpoints", server.endpoint)
        assert (done.returncode, done.stderr) == (ExitCode.TIMEOUT, "Error: the snapshot took longer than 0.3 s\n")
