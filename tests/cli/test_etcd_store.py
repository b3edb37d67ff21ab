"""The etcd store where things go wrong."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import replace

import pytest

from brainctl.errors import ApiError, BadArguments, Code, ConnectionFailed, TimedOut, UnknownOutcome
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.outcome import failure
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget, Tls, split_endpoint
from tests.cli.cutting import Cutting
from tests.conftest import NewEtcd
from tests.peers.ports import free_port
from tests.peers.servers import Etcd, etcdctl

PUT = "/etcdserverpb.KV/Put"
RANGE = "/etcdserverpb.KV/Range"
KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"


def run(work: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 120))


def target(*endpoints: str) -> EtcdTarget:
    return EtcdTarget(endpoints)


async def first_event(store: EtcdStore, key: bytes, revision: int) -> kv_pb2.Event:
    async def requests() -> AsyncIterator[pb.WatchRequest]:
        yield pb.WatchRequest(create_request=pb.WatchCreateRequest(key=key, start_revision=revision))
        await asyncio.Event().wait()

    async for response in store.watch(requests()):
        if response.events:
            return response.events[0]
    raise AssertionError


def test_a_write_whose_answer_is_lost_has_an_unknown_outcome(etcd: Etcd) -> None:
    async def work() -> None:
        async with Cutting(etcd.port) as proxy:
            store = EtcdStore(target(proxy.endpoint, etcd.endpoint))
            revision = (await store.put(pb.PutRequest(key=b"lost", value=b"1"))).header.revision
            proxy.marker = b"second"
            with pytest.raises(UnknownOutcome, match=r"the outcome of Put is unknown: 127\.0\.0\.1"):
                await store.put(pb.PutRequest(key=b"lost", value=b"second"))
            await store.close()
            direct = EtcdStore(target(etcd.endpoint))
            happened = await first_event(direct, b"lost", revision + 1)
            assert (happened.kv.value, happened.kv.version) == (b"second", 2)
            assert (await direct.range(pb.RangeRequest(key=b"lost"))).kvs[0].version == 2, "it was sent once"
            await direct.close()

    run(work())


def test_a_read_whose_answer_is_lost_is_asked_elsewhere(etcd: Etcd) -> None:
    async def work() -> None:
        async with Cutting(etcd.port) as proxy:
            store = EtcdStore(target(proxy.endpoint, etcd.endpoint))
            await store.put(pb.PutRequest(key=b"read", value=b"1"))
            proxy.marker = b"read"
            assert (await store.range(pb.RangeRequest(key=b"read"))).count == 1
            await store.close()

    run(work())


def test_nobody_there_is_named(etcd: Etcd) -> None:
    nobody = f"127.0.0.1:{free_port()}"

    async def work() -> None:
        alone = EtcdStore(target(nobody))
        with pytest.raises(ConnectionFailed, match=f"cannot connect to {nobody}: .*[Cc]onnection refused"):
            await alone.put(pb.PutRequest(key=b"nobody"))
        await alone.close()
        together = EtcdStore(target(nobody, etcd.endpoint))
        await together.put(pb.PutRequest(key=b"somebody"))
        await together.close()

    run(work())


def test_a_silent_server_is_given_up_after_the_dial_timeout() -> None:
    async def work() -> None:
        writers: list[asyncio.StreamWriter] = []
        silent = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
        endpoint = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        store = EtcdStore(replace(target(endpoint), dial_timeout=0.2))
        with pytest.raises(ConnectionFailed, match=r"no answer within 0\.2 s"):
            await store.status()
        await store.close()
        silent.close()
        for writer in writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    run(work())


def test_answers_of_etcd_are_api_errors(etcd: Etcd) -> None:
    async def work() -> None:
        store = EtcdStore(target(etcd.endpoint))
        with pytest.raises(ApiError) as raised:
            await store.range(pb.RangeRequest(key=b"x", revision=10**9))
        assert raised.value.status.code is Code.OUT_OF_RANGE
        with pytest.raises(ApiError, match="key is not provided"):
            await store.put(pb.PutRequest())
        await store.close()

    run(work())


def test_users_and_their_rights(new_etcd: NewEtcd) -> None:
    server = new_etcd()
    for line in ("user add root:secret", "user grant-role root root", "auth enable"):
        assert etcdctl(server.endpoint, *line.split()).returncode in (0, 1)  # the role root may not exist yet
    assert "true" in etcdctl(server.endpoint, "--user", "root:secret", "auth", "status").stdout

    async def work() -> None:
        root = EtcdStore(replace(target(server.endpoint), user="root", password="secret"))
        await root.put(pb.PutRequest(key=b"mine", value=b"1"))
        root._token = "forgotten"
        assert (await root.range(pb.RangeRequest(key=b"mine"))).count == 1, "it asks for a new token"
        wrong = EtcdStore(replace(target(server.endpoint), user="root", password="wrong"))
        with pytest.raises(ApiError, match="authentication failed, invalid user ID or password"):
            await wrong.range(pb.RangeRequest(key=b"mine"))
        nobody = EtcdStore(target(server.endpoint))
        with pytest.raises(ApiError, match="user name is empty"):
            await nobody.range(pb.RangeRequest(key=b"mine"))
        for store in (root, wrong, nobody):
            await store.close()

    run(work())


def test_a_watch_is_raw(etcd: Etcd) -> None:
    async def requests() -> AsyncIterator[pb.WatchRequest]:
        yield pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"raw"))
        await asyncio.Event().wait()

    async def work() -> None:
        store = EtcdStore(target(etcd.endpoint))
        events: list[kv_pb2.Event] = []
        async for response in store.watch(requests()):
            if response.created:
                await store.put(pb.PutRequest(key=b"raw", value=b"1"))
            events += response.events
            if events:
                break
        assert [event.kv.value for event in events] == [b"1"]
        await store.close()

    run(work())


@pytest.mark.parametrize(
    ("method", "code", "details", "kind"),
    [
        (PUT, Code.UNAVAILABLE, "Socket closed", UnknownOutcome),
        (PUT, Code.DEADLINE_EXCEEDED, "Deadline Exceeded", UnknownOutcome),
        (PUT, Code.INTERNAL, "Received RST_STREAM with error code 2", UnknownOutcome),
        (
            PUT,
            Code.UNAVAILABLE,
            "etcdserver: request timed out, possibly due to previous leader failure",
            UnknownOutcome,
        ),
        (PUT, Code.UNAVAILABLE, "etcdserver: leader changed", UnknownOutcome),
        (PUT, Code.UNAVAILABLE, "etcdserver: no leader", ApiError),
        (PUT, Code.RESOURCE_EXHAUSTED, "etcdserver: too many requests", ApiError),
        (PUT, Code.INVALID_ARGUMENT, "etcdserver: key is not provided", ApiError),
        (RANGE, Code.UNAVAILABLE, "Socket closed", ConnectionFailed),
        (RANGE, Code.DEADLINE_EXCEEDED, "Deadline Exceeded", TimedOut),
        (RANGE, Code.UNAVAILABLE, "etcdserver: request timed out", ApiError),
        (RANGE, Code.UNIMPLEMENTED, "unknown service", ApiError),
    ],
)
def test_what_a_status_means(method: str, code: Code, details: str, kind: type[Exception]) -> None:
    assert type(failure(method, "a:1", code, details, 5.0)) is kind


@pytest.mark.parametrize(("method", "kind"), [(PUT, UnknownOutcome), (RANGE, TimedOut), (KEEP_ALIVE, TimedOut)])
@pytest.mark.parametrize(
    ("code", "details"),
    [
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded"),
        (Code.UNKNOWN, "Stream removed"),  # the server kept to the time limit too, and was the first to end the call
        (Code.CANCELLED, "Received RST_STREAM with error code 8"),
        (Code.UNAVAILABLE, "Socket closed"),
    ],
)
def test_the_end_of_a_call_at_its_deadline_is_a_deadline(
    method: str, kind: type[Exception], code: Code, details: str
) -> None:
    late = failure(method, "a:1", code, details, 5.0, elapsed=5.01)
    assert type(late) is kind
    assert str(late).endswith("a:1: no answer within 5 s")
    early = failure(method, "a:1", Code.UNAVAILABLE, details, 5.0, elapsed=1.0)
    assert str(early).endswith("a:1: the connection was lost before an answer came")


def test_endpoints() -> None:
    plain, tls = Tls(), Tls(cacert="ca.pem")
    assert split_endpoint("a:1", plain) == ("a:1", False)
    assert split_endpoint("a", plain) == ("a:2379", False)
    assert split_endpoint("[::1]", plain) == ("[::1]:2379", False)
    assert split_endpoint("a:1", tls) == ("a:1", True)
    assert split_endpoint("http://a:1", tls) == ("a:1", False)
    assert split_endpoint("https://a:1/", plain) == ("a:1", True)
    assert split_endpoint("unix:///run/etcd.sock", plain) == ("unix:/run/etcd.sock", False)
    for bad in ("", "ftp://a"):
        with pytest.raises(BadArguments):
            split_endpoint(bad, plain)
