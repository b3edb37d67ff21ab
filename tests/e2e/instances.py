"""Several `brainctl serve` over one store, and a history of puts and watches that is checked."""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import grpc

from brainctl.errors import Code
from brainctl.etcdpb import rpc_pb2 as pb
from tests.conftest import NewBrainctl
from tests.peers.servers import Brainctl
from tests.support.rpc import RECONNECT, Refused, Remote
from tests.support.until import SECONDS, until

PREFIX = b"w/"
LEAD_LEASE = ("--lead-lease", "2s")
"""For tests that wait for the lead of a dead or paused instance. The others keep the default: on a loaded machine a
short lead is lost now and then."""
_OPEN = frozenset((Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.UNKNOWN, Code.INTERNAL))


class Service:
    """The instances of one store."""

    def __init__(self, start: NewBrainctl, url: str, names: Sequence[str], *flags: str) -> None:
        self.servers: dict[str, Brainctl] = {name: start("--name", name, *flags, store=url) for name in names}
        self.apis = {name: Remote(server.endpoint, options=RECONNECT) for name, server in self.servers.items()}
        until("every instance knows where all are", lambda: all(self._is_complete(name) for name in names))

    def members(self, name: str) -> dict[str, Any]:
        """The member list of an instance, by name."""
        response = self.apis[name].call("/etcdserverpb.Cluster/MemberList", pb.MemberListRequest())
        return {member.name: member for member in response.members}

    def _is_complete(self, name: str) -> bool:
        members = self.members(name).values()
        return len(members) == len(self.servers) and all(member.clientURLs for member in members)

    def leader(self, *asked: str) -> str:
        """The name of the instance that all of the asked ones call the leader, once they do."""

        def agreed() -> str | None:
            told = {self._leader_told_by(name) for name in asked or self.servers}
            return told.pop() if len(told) == 1 else None

        return str(until("the instances agree on a leader", agreed))

    def _leader_told_by(self, name: str) -> str | None:
        try:
            status = self.apis[name].call("/etcdserverpb.Maintenance/Status", pb.StatusRequest())
        except Refused:
            return None
        return next((known for known, member in self.members(name).items() if member.ID == status.leader), None)

    def others(self, name: str) -> list[str]:
        return [other for other in self.servers if other != name]

    def put(self, name: str, key: bytes, value: bytes = b"") -> int:
        """Put through an instance; the revision."""
        answer = self.apis[name].call("/etcdserverpb.KV/Put", pb.PutRequest(key=key, value=value))
        return int(answer.header.revision)

    def get(self, name: str, key: bytes) -> bytes | None:
        found = self.apis[name].call("/etcdserverpb.KV/Range", pb.RangeRequest(key=key)).kvs
        return bytes(found[0].value) if found else None

    def created(self, name: str, key: bytes) -> int:
        """The revision of the only put of a key, as an instance reads it; 0 without one."""
        found = self.apis[name].call("/etcdserverpb.KV/Range", pb.RangeRequest(key=key)).kvs
        return int(found[0].create_revision) if found else 0


class Put(NamedTuple):
    """A put of a key that no other put has, and its revision."""

    key: bytes
    revision: int


class History:
    """Puts through some instances and watches of them, all at once, from `start` to `finish`."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.acknowledged: list[Put] = []
        self.unknown: set[bytes] = set()
        self.alien: list[Refused] = []
        """Answers that no etcd gives to a put while its leader goes away."""
        self.seen: dict[str, list[Put]] = {}
        self._stop = threading.Event()
        self._writers: list[threading.Thread] = []
        self._watchers: list[threading.Thread] = []
        self._first = service.put(next(iter(service.servers)), b"before") + 1

    def start(self) -> None:
        for number, name in enumerate(self.service.servers):
            self._writers.append(threading.Thread(target=self._write, args=(name, number), daemon=True))
            self.seen[name] = []
            self._watchers.append(threading.Thread(target=self._watch, args=(name, self.seen[name]), daemon=True))
        for thread in (*self._watchers, *self._writers):
            thread.start()

    def progress(self, count: int) -> None:
        """Wait until so many more puts were acknowledged."""
        goal = len(self.acknowledged) + count
        until(f"{count} more puts are acknowledged", lambda: len(self.acknowledged) >= goal)

    def put(self, name: str, key: bytes) -> Put:
        """Put a key of its own through an instance."""
        put = Put(PREFIX + key, self.service.put(name, PREFIX + key))
        self.acknowledged.append(put)
        return put

    def finish(self, through: str) -> None:
        """Let the writers end, and the watchers when they have seen the last revision."""
        self._stop.set()
        for thread in self._writers:
            thread.join(SECONDS)
        self.put(through, b"last")
        for thread in self._watchers:
            thread.join(SECONDS)
        assert not any(thread.is_alive() for thread in (*self._writers, *self._watchers))

    def check(self) -> None:
        """Every watcher has seen the same history, and it is the one that the writers were told."""
        assert not self.alien
        for events in self.seen.values():
            check(events, self._first, self.acknowledged, self.unknown)
        assert len({tuple(events) for events in self.seen.values()}) == 1

    def _write(self, name: str, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            key = b"%b%d/%d" % (PREFIX, number, count)
            try:
                revision = self.service.put(name, key)
            except Refused as refused:
                if refused.code not in _OPEN:
                    self.alien.append(refused)
                self.unknown.add(key)
                self._stop.wait(0.1)
            else:
                self.acknowledged.append(Put(key, revision))

    def _watch(self, name: str, seen: list[Put]) -> None:
        """Watch an instance, and when that fails the next one, from the revision after the last one seen."""
        names = list(self.service.servers)
        place = names.index(name)
        while not (seen and seen[-1].key == PREFIX + b"last"):
            start = seen[-1].revision + 1 if seen else self._first
            try:
                for event in _events(self.service.servers[names[place % len(names)]].endpoint, start):
                    seen.append(Put(event.kv.key, event.kv.mod_revision))
                    if event.kv.key == PREFIX + b"last":
                        return
            except grpc.RpcError:
                time.sleep(0.05)
            place += 1


def _events(endpoint: str, start: int) -> Iterator[Any]:
    """The events of a watch, until it ends or nothing is heard for a while: its server may be stopped."""
    create = pb.WatchCreateRequest(
        key=PREFIX, range_end=PREFIX[:-1] + b"0", start_revision=start, prev_kv=True, progress_notify=True
    )
    done = threading.Event()

    def requests() -> Iterator[pb.WatchRequest]:
        yield pb.WatchRequest(create_request=create)
        done.wait(SECONDS)

    with grpc.insecure_channel(endpoint) as channel:
        stub = channel.stream_stream(
            "/etcdserverpb.Watch/Watch", pb.WatchRequest.SerializeToString, pb.WatchResponse.FromString
        )
        try:
            for response in stub(requests(), timeout=5):
                assert not response.canceled, response.cancel_reason
                yield from response.events
        finally:
            done.set()


def check(events: Sequence[Put], first: int, acknowledged: Sequence[Put], unknown: set[bytes]) -> None:
    """Puts to keys of their own, as a watch from `first` on has seen them, are all that was acknowledged, each once,
    and nothing that was not tried.
    """
    revisions = [event.revision for event in events]
    assert revisions == list(range(first, first + len(events))), "lost, doubled or reordered"
    keys = [event.key for event in events]
    assert len(keys) == len(set(keys)), "a put was applied twice"
    assert not (lost := set(acknowledged) - set(events)), f"acknowledged and lost, or at another revision: {lost}"
    assert not (alien := set(keys) - {put.key for put in acknowledged} - unknown), f"nobody wrote these: {alien}"
