"""What watchers are promised, held while the server is killed: writers, watchers that resume, a compactor.

Each round runs until so many writes were acknowledged, and ends with kill -9. What the watchers have put together over
all rounds is then checked: ordered, unique, whole revisions, nothing left out, what was before, bookmarks.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random

import pytest

from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from tests.conformance.client import Client
from tests.conformance.conftest import Own
from tests.contract.driver import delete, put
from tests.peers.servers import Etcd
from tests.support.planted import with_fault
from tests.support.rpc import Refused

WRITES = 150
"""Acknowledged in each round."""
KEYS = [b"k/%d" % number for number in range(8)]
BEHIND = 40
"""How many revisions a compaction leaves, and about how many writes there are to one."""
WRITERS = 3
SECONDS = 240


class Writers:
    """Clients that write random transactions, and know what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: dict[int, list[tuple[bytes, bytes]]] = {}
        """By revision the keys and values that were put; an empty value stands for a deletion."""
        self._numbers = count()

    def run(self, client: Client, random: Random, wanted: int, enough: threading.Event) -> None:
        """Write until the server is gone, and compact now and then; says when there are as many as wanted."""
        while True:
            if len(self.acknowledged) >= wanted:
                enough.set()
            if random.random() < 1 / BEHIND:
                with suppress(Refused):
                    client.compact(max([0, *self.acknowledged]) - BEHIND)
            keys = random.sample(KEYS, random.randint(1, 3))
            writes = [(key, b"%d" % next(self._numbers) if random.random() < 0.8 else b"") for key in keys]
            try:
                done = client.txn(success=[put(key, value) if value else delete(key) for key, value in writes])
            except Refused:
                return
            changed = [
                write
                for write, answer in zip(writes, done.responses, strict=True)
                if write[1] or answer.response_delete_range.deleted
            ]
            if changed:
                self.acknowledged[done.header.revision] = changed


class Watcher:
    """One watcher over all rounds: it goes on behind the last revision that it has seen."""

    def __init__(self, start: int, **options: object) -> None:
        self.first = self.next = start
        self.options = options
        self.responses: list[pb.WatchResponse] = []
        self.lost: list[tuple[int, int]] = []
        """From where to where the history was compacted before it was seen."""

    def run(self, client: Client, last: int = 1 << 60) -> None:
        """Watch until the server is gone, or the last revision was seen."""
        with suppress(Refused), client.watch() as watch:
            self._create(watch.create)
            while self.next <= last:
                if len(self.responses) % 7 == 3:
                    watch.ask_progress()
                response = watch.next()
                if response.canceled:
                    assert response.compact_revision > self.next
                    self.lost.append((self.next, response.compact_revision))
                    self.next = response.compact_revision
                    self._create(watch.create)
                    continue
                self.responses.append(response)
                self.next = max([self.next, *(event.kv.mod_revision + 1 for event in response.events)])

    def _create(self, create: Callable[..., pb.WatchResponse]) -> None:
        assert create(b"k/", b"k0", start_revision=self.next, **self.options).created


def checked(watcher: Watcher, acknowledged: dict[int, list[tuple[bytes, bytes]]], *, of_etcd: bool = False) -> None:
    """Assert the promises, one after the other."""
    whole: dict[int, list[kv_pb2.Event]] = {}
    promised = 0
    for response in watcher.responses:
        revisions = [event.kv.mod_revision for event in response.events]
        assert revisions == sorted(revisions), "ordered"
        assert not whole.keys() & set(revisions), "unique, and a revision in one response"
        assert all(revision > max([0, *whole]) for revision in revisions), "ordered over responses and rounds"
        assert all(revision > promised for revision in revisions), "nothing at or below a bookmark"
        for event in response.events:
            whole.setdefault(event.kv.mod_revision, []).append(event)
        if not response.events:
            assert response.header.revision >= promised, "bookmarks do not go back"
            promised = response.header.revision
    hidden = bool(watcher.options.get("filters"))
    for revision, writes in acknowledged.items():
        expected = [(key, value) for key, value in writes if value or not hidden]
        missed = revision < watcher.first or any(low <= revision < high for low, high in watcher.lost)
        if expected and not missed:
            assert [(e.kv.key, e.kv.value) for e in whole[revision]] == expected, "complete, and in order"
    if watcher.options.get("prev_kv"):
        check_previous(whole, watcher.lost, may_be_absent=of_etcd)


def check_previous(
    whole: dict[int, list[kv_pb2.Event]], lost: list[tuple[int, int]], *, may_be_absent: bool = False
) -> None:
    """Assert that each event carries what its key was before.

    etcd looks prev_kv up when it sends an event (server/etcdserver/api/v3rpc/watch.go), and leaves it out where a
    compaction came in between: with `may_be_absent` it may be missing, but not be another one.
    """
    newest: dict[bytes, kv_pb2.KeyValue] = {}
    events = [event for revision in sorted(whole) for event in whole[revision]]
    seen = 0
    for event in events:
        if any(seen < high <= event.kv.mod_revision for _, high in lost):
            newest.clear()
        seen = event.kv.mod_revision
        left_out = may_be_absent and not event.HasField("prev_kv")
        if event.kv.key in newest and not left_out:
            assert event.prev_kv == newest[event.kv.key], "what was before"
        newest[event.kv.key] = event.kv if event.type == kv_pb2.Event.PUT else kv_pb2.KeyValue()


def run(client: Client, rounds: int) -> None:
    writers, late = Writers(), Watcher(1, prev_kv=True)
    only_puts = [pb.WatchCreateRequest.NODELETE]
    watchers = [Watcher(1), Watcher(1, prev_kv=True), Watcher(1, filters=only_puts), Watcher(WRITES, prev_kv=True)]
    for number in range(1, rounds + 1):
        if number == 2:
            with suppress(Refused):  # a writer may have compacted more; whoever comes now has lost something
                client.compact(max(writers.acknowledged) - BEHIND)
            watchers.append(late)
        enough = threading.Event()
        threads = [threading.Thread(target=watcher.run, args=(client,)) for watcher in watchers]
        for seed in range(WRITERS):
            work = (client, Random(10 * number + seed), number * WRITES, enough)
            threads.append(threading.Thread(target=writers.run, args=work))
        for thread in threads:
            thread.start()
        assert enough.wait(SECONDS)
        client.server.kill()
        for thread in threads:
            thread.join()
        client.restart()
    last = client.put(b"k/last", b"end").header.revision
    for watcher in watchers:
        watcher.run(client, last)
        assert watcher.next == last + 1
        checked(watcher, writers.acknowledged, of_etcd=isinstance(client.server, Etcd))
    assert len(writers.acknowledged) >= rounds * WRITES
    assert rounds == 1 or late.lost, "it came after a compaction"


def test_b2_12i_what_watchers_are_promised_holds_while_the_server_is_killed(own: Own) -> None:
    run(own(fsync=True), rounds=3)


def test_control_events_without_what_was_before_are_noticed(tmp_path: Path) -> None:
    with with_fault("previous")(tmp_path) as server:
        client = Client(server)
        with pytest.raises(AssertionError, match="what was before"):
            run(client, rounds=1)
        client.close()
