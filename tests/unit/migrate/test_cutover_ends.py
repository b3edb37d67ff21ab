"""However a cutover ends, the source is unfrozen where that is safe, and otherwise the user knows that it is frozen."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from brainctl.errors import BrainctlError, Fenced, StoreFailed, UnknownOutcome
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.record import Record
from brainctl.migrate.machine.state import Goal
from brainctl.stores.store import Checkpoint
from tests.peers.servers import Etcd
from tests.unit.migrate.model import TargetModel
from tests.unit.migrate.running import Watched, etcd_store, fill, start


class Failing(TargetModel):
    """Fails the commit of the cutover, which is written before that or not; then cannot be read, or can."""

    written = False
    readable = True
    overtaken = False
    failed = False

    async def apply(self, events: Sequence[bytes], revision: int, checkpoint: Checkpoint) -> None:
        if Record.decode(checkpoint.state).phase is not Phase.COMMITTED:
            return await super().apply(events, revision, checkpoint)
        if self.written:
            await super().apply(events, revision, checkpoint)
        if self.overtaken:
            assert self.stored is not None
            await self.take_over(self.stored._replace(run="another", epoch=self.stored.epoch + 1))
        self.failed = True
        raise Fenced("overtaken") if self.overtaken else StoreFailed("the disk is broken")

    async def checkpoint(self) -> Checkpoint | None:
        if self.failed and not self.readable:
            raise StoreFailed("the disk is broken")
        return await super().checkpoint()


def run(etcd: Etcd, target: TargetModel, directory: Path) -> tuple[BrainctlError | str, Watched]:
    """Cut over; how it ended. The source is frozen while the file `frozen` exists."""

    async def story() -> tuple[BrainctlError | str, Watched]:
        source = etcd_store(etcd.endpoint)
        await fill(source, 100)

        async def compare(_revision: int) -> int:
            return 0

        hooks = (f"touch {directory}/frozen", f"rm {directory}/frozen")
        runner, watched = await start(source, target, Goal.CUTOVER, compare=compare, hooks=hooks)
        try:
            return await runner.run(), watched
        except BrainctlError as error:
            return error, watched
        finally:
            await source.close()

    return asyncio.run(story())


def record_of(target: TargetModel) -> Record:
    assert target.stored is not None
    return Record.decode(target.stored.state)


def test_a_commit_that_failed_unfreezes_the_source(etcd: Etcd, tmp_path: Path) -> None:
    target = Failing()
    end, _ = run(etcd, target, tmp_path)
    assert isinstance(end, StoreFailed)
    assert not (tmp_path / "frozen").exists()
    assert record_of(target).frozen == ""


def test_a_commit_that_happened_although_it_failed_is_a_commit(etcd: Etcd, tmp_path: Path) -> None:
    target = Failing()
    target.written = True
    end, _ = run(etcd, target, tmp_path)
    assert end == ""
    assert (tmp_path / "frozen").exists()
    assert record_of(target).phase is Phase.COMMITTED


@pytest.mark.parametrize("written", [True, False])
def test_a_commit_that_nobody_can_tell_of_leaves_the_source_frozen(etcd: Etcd, tmp_path: Path, written: bool) -> None:
    target = Failing()
    target.written, target.readable = written, False
    end, watched = run(etcd, target, tmp_path)
    assert isinstance(end, UnknownOutcome)
    assert (tmp_path / "frozen").exists()
    assert any("the source may still be frozen, by the hook" in text for text in watched.warnings)


def test_a_process_that_was_overtaken_leaves_the_source_to_the_other(etcd: Etcd, tmp_path: Path) -> None:
    """The other may be about to commit the target: writes to the source would be lost."""
    target = Failing()
    target.overtaken = True
    end, watched = run(etcd, target, tmp_path)
    assert isinstance(end, Fenced)
    assert (tmp_path / "frozen").exists()
    assert record_of(target).frozen
    assert any("another process has the target" in text for text in watched.warnings)


def test_what_breaks_the_comparison_unfreezes_the_source(etcd: Etcd, tmp_path: Path) -> None:
    async def story() -> None:
        source, target = etcd_store(etcd.endpoint), TargetModel()

        async def compare(_revision: int) -> int:
            assert record_of(target).frozen == hooks[0]
            raise StoreFailed("unreadable")

        hooks = (f"touch {tmp_path}/frozen", f"rm {tmp_path}/frozen")
        runner, _ = await start(source, target, Goal.CUTOVER, compare=compare, hooks=hooks)
        assert await runner.run() == "the comparison failed: unreadable"
        assert not (tmp_path / "frozen").exists()
        assert record_of(target).frozen == ""
        await source.close()

    asyncio.run(story())


def test_a_signal_ends_the_comparison_and_unfreezes_the_source(etcd: Etcd, tmp_path: Path) -> None:
    async def story() -> None:
        source, target = etcd_store(etcd.endpoint), TargetModel()

        async def compare(_revision: int) -> int:
            runner.stop()
            await asyncio.Event().wait()
            raise AssertionError

        hooks = (f"touch {tmp_path}/frozen", f"rm {tmp_path}/frozen")
        runner, _ = await start(source, target, Goal.CUTOVER, compare=compare, hooks=hooks)
        assert await runner.run() == "it was interrupted"
        assert not (tmp_path / "frozen").exists()
        assert record_of(target).frozen == ""
        await source.close()

    asyncio.run(story())
