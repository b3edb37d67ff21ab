"""Long work on files in pieces, each of which may run on any thread.

A `Job` is one piece of work that is made durable as a whole: the writing of a run, the rewriting of a segment. `Jobs`
runs those of one kind for an engine, one piece at a time, until it is closed.
"""

import errno
from collections.abc import Callable, Generator, Iterator
from functools import partial
from threading import Event, Lock
from typing import NoReturn

from brainctl.engine.log.manifest import Manifest
from brainctl.engine.stats import Stats
from brainctl.errors import BrainctlError, StoreDamaged, StoreFailed, next_step

Work = Callable[[], None]
"""A piece of I/O. It raises nothing, and may be called on any thread, once; until it has returned, the iterator that it
came from must not be advanced.
"""


def rest() -> None:
    """Do nothing: a pause in which the caller serves others."""


class Job:
    """The state of one job. While a piece of it runs, only that touches it."""

    def __init__(self, path: str, steps: Iterator[object]) -> None:
        """Create a job that has done nothing yet.

        Args:
            path: The file that an error names.
            steps: Does the work, and yields whenever `budget` is used up.
        """
        self.path = path
        self.finished = False
        self.error: OSError | StoreDamaged | None = None
        """Error that ended the job early; None when there was none."""
        self.stats = Stats()
        """Counters of the job; its own, since it may run on any thread."""
        self.budget = 0
        """The bytes that are left of this piece."""
        self._steps = steps

    def run(self, budget: int) -> None:
        """Read and write about `budget` bytes, unless the job is `finished`."""
        self.budget = budget
        try:
            self.finished = next(self._steps, None) is None
        except (OSError, StoreDamaged) as error:
            self.error = error
            self.finished = True


class Jobs:
    """The jobs of one kind, of one engine."""

    def __init__(self, doing: str, manifest: Manifest, fail: Callable[[BrainctlError], None]) -> None:
        """Create the runner.

        Args:
            doing: What the jobs do, for errors: "while ...".
            manifest: Tells whether an error has left it in doubt.
            fail: Stops the engine after an I/O error.
        """
        self.stats = Stats()
        """Counters of finished jobs."""
        self._doing = doing
        self._manifest = manifest
        self._fail = fail
        self._turn = Lock()
        self._closed = Event()

    def is_closed(self) -> bool:
        """Return whether no more work is to begin."""
        return self._closed.is_set()

    def close(self) -> None:
        """Wait for the piece of work that is running, and let no other begin."""
        with self._turn:
            self._closed.set()

    def run(self, job: Job, budget: int, abandon: Callable[[], None]) -> Generator[Work, None, bool]:
        """Run a job in pieces, and return whether it is done.

        It is not when the disk is full, after which `abandon` has removed what was written, and when the runner was
        closed. `abandon` is no part of the job, which would then refer to itself: a segment must be freed as soon as
        nobody reads it, so that its file can be used again.

        Raises:
            StoreFailed: The job ended with any other I/O error.
            StoreDamaged: The job found damage.
        """
        while not job.finished:
            yield partial(self.guarded, partial(job.run, budget))
            if self.is_closed():
                return False
        self.stats.add(job.stats)
        error = job.error
        if error is None:
            return True
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) and not self._manifest.in_doubt:
            abandon()
            return False
        self.give_up(error, job.path)

    def guarded(self, work: Work) -> None:
        """Do a piece of work, unless the runner is closed; `close` waits for it."""
        with self._turn:
            if not self.is_closed():
                work()

    def give_up(self, error: OSError | StoreDamaged, path: str) -> NoReturn:
        """Raise the error of a job; after an I/O error the engine stops, since nothing on the disk is trusted.

        Raises:
            StoreFailed: It is an I/O error.
            StoreDamaged: It is damage.
        """
        if isinstance(error, StoreDamaged):
            raise error
        failure = StoreFailed(f"{path}: {error.strerror or error} while {self._doing}").advised(next_step(error))
        self._fail(failure)
        raise failure from error
