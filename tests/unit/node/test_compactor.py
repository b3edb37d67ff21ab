"""Automatic compaction, on a clock that the test moves (etcd server/etcdserver/api/v3compactor)."""

import subprocess
import time
from pathlib import Path

import pytest

from brainctl.clock import ManualClock
from brainctl.commands.serve.settings import ServeSettings
from brainctl.errors import COMPACTED, BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.node.jobs.retention import HOUR, KeepPeriod, KeepRevisions, Retention
from brainctl.node.node import Node
from brainctl.node.options import NodeOptions
from tests.peers import require
from tests.peers.servers import Brainctl, Etcd, brainctl_argv, clean_environment
from tests.support.memory import MemoryBackend
from tests.support.rpc import Refused, Remote

MINUTE = 60.0


class World:
    """A node whose timers run when the clock is moved. A key is written every minute."""

    def __init__(self, retention: Retention) -> None:
        self.clock = ManualClock()
        self.backend = MemoryBackend()
        Node(self.backend, self.clock, options=NodeOptions(retention=retention))
        self.due = self._take()

    def _take(self) -> list[tuple[float, object]]:
        timers, self.backend.timers = self.backend.timers, []
        return [(self.clock.now + seconds, action) for seconds, action in timers]

    def put(self) -> None:
        self.backend.submit(Batch.put, pb.PutRequest(key=b"a"), lambda _: None)

    def minutes(self, count: int) -> list[int]:
        """The compacted revision after each minute."""
        compacted = []
        for _ in range(count):
            self.put()
            self.clock.advance(MINUTE)
            ready = [action for at, action in self.due if at <= self.clock.now]
            self.due = [(at, action) for at, action in self.due if at > self.clock.now]
            for action in ready:
                assert callable(action)
                action()
            self.due += self._take()
            compacted.append(max(self.backend.compacted, 0))
        return compacted

    @property
    def revision(self) -> int:
        return self.backend.revision


def changes(compacted: list[int]) -> list[tuple[int, int]]:
    """After how many minutes the compacted revision became what."""
    return [
        (minute + 1, revision)
        for minute, revision in enumerate(compacted)
        if revision != (compacted[minute - 1] if minute else 0)
    ]


def test_an_hour_is_kept_by_compacting_each_hour() -> None:
    """Revision n is written in minute n - 1. As in etcd a tenth more than the period is kept after the first time."""
    assert changes(World(KeepPeriod(HOUR)).minutes(200)) == [(60, 1), (120, 55), (180, 115)]


def test_a_day_is_kept_by_compacting_each_hour() -> None:
    found = changes(World(KeepPeriod(24 * HOUR)).minutes(27 * 60))
    assert found == [(24 * 60, 1), (25 * 60, 55), (26 * 60, 115), (27 * 60, 175)]


def test_ten_minutes_are_kept_by_compacting_every_ten_minutes() -> None:
    assert changes(World(KeepPeriod(10 * MINUTE)).minutes(31)) == [(10, 1), (20, 10), (30, 20)]


def test_a_period_that_is_no_multiple_of_its_steps() -> None:
    found = changes(World(KeepPeriod(90 * MINUTE)).minutes(280))
    assert [minute for minute, _ in found] == [90, 150, 210, 270]
    assert all(minute - revision >= 89 for minute, revision in found)


def test_revisions_are_counted_every_five_minutes() -> None:
    assert changes(World(KeepRevisions(7)).minutes(21)) == [(10, 4), (15, 9), (20, 14)]


@pytest.mark.parametrize("retention", [KeepPeriod(10 * MINUTE), KeepRevisions(5)])
def test_nothing_new_is_not_compacted_again(retention: Retention) -> None:
    world = World(retention)
    world.minutes(60)
    submitted: list[object] = []
    submit = world.backend.submit
    world.backend.submit = lambda *write: (submitted.append(write[1]), submit(*write))  # type: ignore[method-assign,assignment]
    world.put = lambda: None  # type: ignore[method-assign]
    world.minutes(60)
    before = len(submitted)
    world.minutes(60)
    assert len(submitted) == before


def test_a_process_that_does_not_lead_leaves_it_to_the_one_that_does() -> None:
    world = World(KeepPeriod(10 * MINUTE))
    world.backend.term = 0
    assert world.minutes(60)[-1] == 0
    world.backend.term = 1
    # What was noted meanwhile counts.
    assert world.minutes(1)[-1] == 51


def test_a_compaction_that_fails_is_tried_again_after_a_step() -> None:
    world = World(KeepPeriod(10 * MINUTE))
    submit = world.backend.submit

    def fail(evaluate: object, request: object, reply: object) -> None:
        if isinstance(request, pb.CompactionRequest):
            assert callable(reply)
            reply(BrainctlError("no"))
        else:
            submit(evaluate, request, reply)  # type: ignore[arg-type]

    world.backend.submit = fail  # type: ignore[method-assign]
    assert world.minutes(13)[-1] == 0
    world.backend.submit = submit  # type: ignore[method-assign]
    assert world.minutes(1) == [4]


def test_somebody_who_compacts_by_hand_is_not_in_the_way() -> None:
    world = World(KeepPeriod(10 * MINUTE))
    world.minutes(9)
    world.backend.submit(Batch.compact, pb.CompactionRequest(revision=world.revision), lambda _: None)
    assert world.minutes(22)[-1] == 20


@pytest.mark.parametrize("kind", [Brainctl, Etcd])
def test_b2_a_server_compacts_by_itself(kind: type[Brainctl | Etcd], tmp_path: Path) -> None:
    with kind(tmp_path, "--auto-compaction-retention", "300ms") as server:
        api = Remote(server.endpoint)
        old = pb.RangeRequest(key=b"a", revision=2)
        until = time.monotonic() + 120
        while True:
            api.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"a"))
            try:
                api.call("/etcdserverpb.KV/Range", old)
            except Refused as error:
                assert (error.code, error.text) == COMPACTED  # noqa: PT017 - a loop that ends so
                break
            assert time.monotonic() < until
        api.close()


@pytest.mark.parametrize(("mode", "text"), [("other", "1"), ("periodic", "x"), ("revision", "-1")])
def test_b2_etcd_does_not_start_with_them_either(mode: str, text: str, tmp_path: Path) -> None:
    flags = ["--auto-compaction-mode", mode, "--auto-compaction-retention", text]
    for program in ([*brainctl_argv(), "serve", "--listen", "127.0.0.1:0"], [str(require("etcd"))]):
        argv = [*program, "--data-dir", str(tmp_path / "data"), *flags]
        done = subprocess.run(argv, capture_output=True, env=clean_environment(), timeout=60, check=False)
        assert done.returncode not in (0, None)


# -- the two flags --------------------------------------------------------------------------------------------------


def retention(mode: str, text: str) -> Retention | None:
    flags = {"auto_compaction_mode": mode, "auto_compaction_retention": text}
    return ServeSettings(flags, {}).retention()


@pytest.mark.parametrize(
    ("text", "seconds"), [("1", HOUR), ("24", 24 * HOUR), ("1h", HOUR), ("30m", 1800), ("1h30m", 5400), ("500ms", 0.5)]
)
def test_a_time_or_a_number_of_hours(text: str, seconds: float) -> None:
    found = retention("periodic", text)
    assert isinstance(found, KeepPeriod)
    assert found.seconds == seconds


def test_a_number_of_revisions() -> None:
    found = retention("revision", "1000")
    assert isinstance(found, KeepRevisions)
    assert found.count == 1000


@pytest.mark.parametrize("mode", ["periodic", "revision"])
@pytest.mark.parametrize("text", ["0", ""])
def test_nothing_is_compacted_by_default(mode: str, text: str) -> None:
    assert retention(mode, text) is None
    assert ServeSettings({}, {}).retention() is None


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("periodic", "-1"),
        ("periodic", "-1h"),
        ("periodic", "x"),
        ("periodic", "9" * 30),
        ("revision", "-1"),
        ("revision", "1h"),
        ("revision", "1.5"),
        ("other", "1"),
        ("", "1"),
    ],
)
def test_what_cannot_be_meant_is_refused(mode: str, text: str) -> None:
    with pytest.raises(BrainctlError, match="auto-compaction"):
        retention(mode, text)
