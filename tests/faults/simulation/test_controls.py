"""Planted bugs, each of which the simulation must find: a green run of it means something."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from crc32c import crc32c

from brainctl.engine.engine import Engine
from brainctl.engine.format import record
from brainctl.engine.log import log_writer
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc import lessor
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.pending_writes import PendingWrites
from brainctl.mvcc.point_get import point_response
from brainctl.mvcc.watch_hub import WatchHub
from brainctl.node.local.backend import LocalBackend
from brainctl.node.local.group_commit import GroupCommit
from brainctl.node.services import lease as lease_service
from tests.faults.crash import test_controls as test_crash_controls
from tests.faults.simulation import journal, test_simulation
from tests.faults.simulation.world import run
from tests.peers import ROOT
from tests.support.memory_fs import MemoryFileSystem

pytestmark = pytest.mark.crash
Patch = pytest.MonkeyPatch


def answers_come_before_the_write(patch: Patch):
    original = journal.RecordedBackend.__init__

    def early(self: journal.RecordedBackend, *args: Any) -> None:
        original(self, *args, early=True)

    patch.setattr(journal.RecordedBackend, "__init__", early)


def the_log_is_not_synced(patch: Patch):
    patch.setattr(MemoryFileSystem, "__init__", _lying(MemoryFileSystem.__init__))


def _lying(original: Callable[..., None]) -> Callable[..., None]:
    def init(self: MemoryFileSystem, **_: Any) -> None:
        original(self, lies=True)

    return init


def readers_see_what_is_staged(patch: Patch):
    def get(self: LocalBackend, key: bytes, reply: Any) -> None:
        staged = self.commits._staged
        reply(point_response(self.header(staged.revision), staged.get(key)))

    patch.setattr(LocalBackend, "get", get)


def failures_are_answered_as_successes(patch: Patch):
    original = GroupCommit.fail

    def fail(self: GroupCommit, error: Any) -> None:
        if self.failure is None:
            answers, self._in_flight = self._in_flight, None
            for reply, answer in answers or ():
                reply(answer)
        original(self, error)

    patch.setattr(GroupCommit, "fail", fail)


def failed_background_work_is_kept_quiet(patch: Patch):
    async def defragment(self: LocalBackend) -> None:
        for work in self.engine.background.reclaim(1 << 18, everything=True):
            await asyncio.to_thread(work)

    def seal(self: GroupCommit) -> None:
        if self.engine.failure is None:
            original(self)

    original = GroupCommit._seal
    patch.setattr(LocalBackend, "defragment", defragment)
    patch.setattr(GroupCommit, "_seal", seal)


def a_confirmation_counts_as_staged(patch: Patch):
    original = GroupCommit._durable

    def durable(self: GroupCommit, commit: Commit, prepared: Any, path: Any) -> None:
        if prepared is not None:
            assert self._staged._commits[0] is commit
        original(self, commit, prepared, path)

    patch.setattr(GroupCommit, "_durable", durable)


def leases_have_half_their_time_after_a_restart(patch: Patch):
    original = lessor.Lessor.load

    def load(self: lessor.Lessor, records: Any) -> None:
        original(self, {name: lessor.encode_ttl(lessor.decode_ttl(ttl) // 2) for name, ttl in records.items()})

    patch.setattr(lessor.Lessor, "load", load)


def leases_go_by_the_wall_clock(patch: Patch):
    original = lessor.Lessor.__init__

    def init(self: lessor.Lessor, clock: Any) -> None:
        original(self, type("Wall", (), {"monotonic": staticmethod(clock.wall)})())

    patch.setattr(lessor.Lessor, "__init__", init)


def a_kept_alive_lease_is_not_renewed(patch: Patch):
    def keep_alive(self: lessor.Lessor, lease: int, answer: Callable[[int], None]) -> None:
        found = self.get(lease)
        answer(found.ttl if found else 0)

    patch.setattr(lessor.Lessor, "keep_alive", keep_alive)


def expired_leases_stay(patch: Patch):
    patch.setattr(lessor.Lessor, "expired", lambda *_: [])


def watchers_miss_what_came_while_they_paused(patch: Patch):
    def forget(self: WatchHub, stream: Any) -> None:
        for watcher in list(stream.parked):
            self.detach(watcher)
            self._sync(watcher)

    patch.setattr(WatchHub, "resume", forget)


def watchers_get_what_is_not_durable(patch: Patch):
    original = GroupCommit._seal

    def seal(self: GroupCommit) -> None:
        commit = self._batch.commit
        original(self)
        if commit.changes and self._in_flight:
            for observer in self._observers:
                if "Watch" in observer.__qualname__:
                    observer(commit)

    patch.setattr(GroupCommit, "_seal", seal)


def compaction_takes_one_revision_too_many(patch: Patch):
    original = Batch.compact

    def compact(self: Batch, request: pb.CompactionRequest) -> bytes:
        answer = original(self, request)
        self.commit.compact = min(request.revision + 1, self.staged.revision)
        return answer

    patch.setattr(Batch, "compact", compact)


def a_record_is_changed_on_its_way(patch: Patch):
    original = Engine.write

    def write(self: Engine, prepared: Any) -> None:
        for one in prepared if isinstance(prepared, list) else [prepared]:
            if len(one.parts) > 1:
                body = one.parts[-1][:-5] + bytes([one.parts[-1][-5] ^ 1])
                one.parts[-1] = body + record.crc_bytes(crc32c(body))
        original(self, prepared)

    patch.setattr(Engine, "write", write)


def staged_changes_are_forgotten(patch: Patch):
    original = PendingWrites.begin

    def begin(self: PendingWrites, commit: Commit) -> None:
        original(self, commit)
        self._lower.clear()
        self._lower.extend({} for _ in self._commits[1:])

    patch.setattr(PendingWrites, "begin", begin)


def a_full_disk_is_no_failure(patch: Patch):
    original = log_writer.LogWriter.write

    def write(self: log_writer.LogWriter, batches: Any) -> None:
        try:
            original(self, batches)
        except log_writer.StoreFull:
            self.failure = None

    patch.setattr(log_writer.LogWriter, "write", write)


CONTROLS = [
    answers_come_before_the_write,
    the_log_is_not_synced,
    readers_see_what_is_staged,
    failures_are_answered_as_successes,
    failed_background_work_is_kept_quiet,
    a_confirmation_counts_as_staged,
    leases_have_half_their_time_after_a_restart,
    leases_go_by_the_wall_clock,
    a_kept_alive_lease_is_not_renewed,
    expired_leases_stay,
    watchers_miss_what_came_while_they_paused,
    watchers_get_what_is_not_durable,
    compaction_takes_one_revision_too_many,
    a_record_is_changed_on_its_way,
    staged_changes_are_forgotten,
    a_full_disk_is_no_failure,
]


@pytest.mark.parametrize("plant", CONTROLS, ids=lambda function: function.__name__)
def test_planted_bugs_are_found(monkeypatch: Patch, plant: Callable[[Patch], None]):
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        some_seeds()


def some_seeds() -> None:
    for seed in range(1, 11):
        run(seed, 2000)


def test_an_expiry_that_is_not_checked_again_is_found(monkeypatch: Patch):
    """It takes an unlikely turn, which is forced."""
    monkeypatch.setattr(lease_service, "_check_unchanged", lambda *_: None)
    with pytest.raises(AssertionError):
        test_simulation.test_a_lease_that_is_granted_anew_while_the_old_one_expires_lives()


def test_the_page_lists_what_is_planted():
    page = (ROOT / "docs" / "internals" / "faults.md").read_text()
    plants = [*CONTROLS, *(plant for plant, _ in test_crash_controls.CONTROLS)]
    assert [plant.__name__ for plant in plants if f"| {plant.__name__.replace('_', ' ')} |" not in page] == []
