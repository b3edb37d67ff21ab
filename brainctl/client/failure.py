"""Failures whose text or exit code is given by the command, not by the cause."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from brainctl.errors import ApiError, BrainctlError, ExitCode


class CommandFailed(BrainctlError):
    """A command did not do what it was asked to do."""

    def __init__(self, text: str, exit_code: ExitCode = ExitCode.ERROR) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def exit_of(failures: Iterable[BrainctlError]) -> ExitCode:
    """Return how a command ends that asked several endpoints: by its deadline when that is what ended each failure."""
    late = all(failure.exit_code is ExitCode.TIMEOUT for failure in failures)
    return ExitCode.TIMEOUT if late else ExitCode.ERROR


def must_be_file(path: Path) -> None:
    """Check that there is something at `path`.

    Raises:
        CommandFailed: There is nothing; the text is Go's.
    """
    try:
        path.stat()
    except OSError as error:
        raise CommandFailed(f"stat {path}: {(error.strerror or '').lower()}") from None


@contextmanager
def refusal(text: str = "{}", exit_code: ExitCode = ExitCode.ERROR) -> Iterator[None]:
    """Turn an ApiError of the block into CommandFailed with this text and exit code."""
    try:
        yield
    except ApiError as error:
        raise CommandFailed(text.format(error), exit_code) from error
