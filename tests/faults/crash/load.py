"""What the killed process runs, and what it must have left: the changes of each revision follow from its number."""

import os
import sys
from random import Random

from brainctl.engine.engine import Engine, EngineOptions
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion
from tests.unit.engine.model import Changes, Model, author

OPTIONS = EngineOptions(segment_size=256 << 10, zero_ahead=16 << 10, garbage_ratio=0.3)


def changes_of(revision: int) -> Changes:
    """What a revision puts: one key or several, with values that no other revision puts."""
    rng = Random(revision)
    keys = rng.sample(range(150), rng.choice((1, 1, 3)))
    return [(b"key/%03d" % key, b"%d %d " % (revision, key) * rng.choice((1, 30, 100))) for key in keys]


def advance(model: Model, revision: int) -> None:
    """Bring a model to what a store at `revision` holds."""
    while model.revision < revision:
        model.apply(model.commit(changes_of(model.revision + 1)))


def run(directory: str, acknowledge: int, *, early: bool) -> None:
    """Write until killed; each line on descriptor `acknowledge` is a revision that is durable."""
    engine = Engine.open(directory, options=OPTIONS)
    rng = Random(os.getpid())
    while True:
        ahead: dict[bytes, KeyVersion] = {}
        commits: list[Commit] = []
        revision = engine.view.revision
        for _ in range(rng.choice((1, 1, 4))):
            wanted = [changes_of(revision + number) for number in range(1, rng.choice((2, 2, 6)))]
            commits.append(author(engine.view.get, revision, *wanted, ahead=ahead))
            revision = commits[-1].revision
        if rng.random() < 0.05 and engine.view.revision - engine.view.compacted > 100:
            commits[-1].compact = engine.view.revision - 50
        prepared = [engine.encode(commit) for commit in commits]
        if early:
            os.write(acknowledge, b"%d\n" % revision)
            for batch in prepared:
                engine.write(batch)
        else:
            engine.write(prepared)
        for commit, batch in zip(commits, prepared, strict=True):
            engine.publish(commit, batch)
        if not early:
            os.write(acknowledge, b"%d\n" % revision)
        engine.background.reclaim_step(64 << 10)


def main() -> None:
    """For each line of standard input, "DIRECTORY early|late", start a process that runs until killed.

    Writes the process's id, then what it acknowledges, then "gone" once it was killed.
    """
    for line in sys.stdin:
        directory, mode = line.split()
        child = os.fork()
        if child == 0:
            os.write(1, b"pid %d\n" % os.getpid())
            run(directory, 1, early=mode == "early")
        os.waitpid(child, 0)
        os.write(1, b"gone\n")


if __name__ == "__main__":
    main()
