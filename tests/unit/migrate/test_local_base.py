"""A directory as the target of a copy whose base moves on: what it holds, also after kill -9, and how it is stored."""

import asyncio
import shutil
from pathlib import Path

import pytest

from brainctl.engine.engine import Engine
from brainctl.engine.offline.check import check
from brainctl.stores.replica_local import LocalReplica
from tests.support.memory import MemoryBackend
from tests.support.partial_base import MARK, copy
from tests.unit.tikv.test_replica import source


@pytest.mark.parametrize("seed", range(3))
def test_a_base_that_moves_on_while_it_is_copied(seed: int, tmp_path: Path) -> None:
    async def run() -> None:
        model, _ = source(seed, 120)
        target = LocalReplica.open(tmp_path / "target")
        await target.take_over(MARK)
        copies: list[Path] = []

        def kill() -> None:
            """Keep the directory as a kill -9 here would leave it."""
            copies.append(tmp_path / f"killed-{len(copies)}")
            shutil.copytree(tmp_path / "target", copies[-1])

        last = await copy(model, target, 5 + 5 * seed, kill)
        same_since(target._engine, model, last)
        await target.close()
        for directory in (*copies, tmp_path / "target"):
            assert check(directory).findings == []
        engine = Engine.open(tmp_path / "target")
        same_since(engine, model, last)
        engine.close()

    asyncio.run(run())


def same_since(engine: Engine, model: MemoryBackend, base: int) -> None:
    """The store serves every revision from the base on, and the history after it, as the model does."""
    view = engine.view
    assert (view.revision, view.compacted) == (model.revision, base)
    for revision in range(base, model.revision + 1):
        wanted = [version.kv for version in model.view.versions(b"", None, revision)]
        assert [version.kv for version in view.versions(b"", None, revision)] == wanted
        assert view.count(b"", None, revision) == len(wanted)
    assert engine.keys == model.view.count(b"", None, model.revision)
    found = [tuple(one) for one in view.history(base + 1, model.revision)]
    assert found == [tuple(one) for one in model.view.history(base + 1, model.revision)]
