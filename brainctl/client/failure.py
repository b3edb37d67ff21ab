"""Failures whose text or exit code belongs to the command rather than to what went wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brainctl.errors import ApiError, BrainctlError, ExitCode


class CommandFailed(BrainctlError):
    """A command did not do what it was asked to."""

    def __init__(self, text: str, exit_code: ExitCode = ExitCode.ERROR) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def must_be_file(path: Path) -> None:
    """CommandFailed, with Go's text, when there is nothing at `path`."""
    try:
        path.stat()
    except OSError as error:
        raise CommandFailed(f"stat {path}: {(error.strerror or '').lower()}") from None


@contextmanager
def refusal(text: str = "{}", exit_code: ExitCode = ExitCode.ERROR) -> Iterator[None]:
    """Report an answer of the API other than OK with this text and exit code."""
    try:
        yield
    except ApiError as error:
        raise CommandFailed(text.format(error), exit_code) from error
