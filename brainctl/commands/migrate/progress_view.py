"""How a migration shows its progress, on standard error: a line that moves on a terminal, JSON lines otherwise."""

import sys
from types import TracebackType
from typing import Protocol, Self

import orjson

from brainctl.cli.streams import complain
from brainctl.commands.verify.lines import line
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.progress import Figures
from brainctl.migrate.retry import Waiting
from brainctl.verify.difference import Difference

REVISIONS = ("base_revision", "chosen_revision", "watermark", "source_revision")


class Display(Protocol):
    """An observer of the migration that is closed when it ends."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""

    def progress(self, figures: Figures) -> None:
        """See `Observer`."""

    def waiting(self, what: Waiting) -> None:
        """See `Observer`."""

    def warn(self, text: str) -> None:
        """See `Observer`."""

    def differs(self, found: Difference) -> None:
        """See `Observer`."""


def display() -> Display:
    """Return the display that fits standard error: a line that is rewritten on a terminal, JSON elsewhere."""
    return TerminalLine() if sys.stderr.isatty() else JsonLines()


class JsonLines:
    """An object a second: {"kind":"progress", ...} with the names of `Figures`; revisions are strings, as everywhere
    in the JSON of brainctl. A store that is waited for is {"kind":"retry", ...} with the names of `Waiting`, and what
    the user has to know is {"kind":"warning","text":"..."}.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def progress(self, figures: Figures) -> None:
        """Write an object of kind "progress"."""
        fields = figures._asdict()
        self._write({"kind": "progress", **fields, **{name: str(fields[name]) for name in REVISIONS}})

    def waiting(self, what: Waiting) -> None:
        """Write an object of kind "retry"."""
        self._write({"kind": "retry", **what._asdict()})

    def warn(self, text: str) -> None:
        """Write an object of kind "warning"."""
        self._write({"kind": "warning", "text": text})

    def differs(self, found: Difference) -> None:
        """Write the line that `verify` prints."""
        complain(line(found))

    def _write(self, line: dict[str, object]) -> None:
        complain(orjson.dumps(line).decode())


class TerminalLine:
    """One line that moves, with a bar while the base is copied."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("connecting", total=None, text="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def progress(self, figures: Figures) -> None:
        """Move the line."""
        copying = figures.phase in {Phase.NEW, Phase.COPYING}
        self._progress.update(
            self._task,
            description=figures.phase,
            total=figures.keys_expected if copying else max(1, figures.source_revision - figures.base_revision),
            completed=figures.keys if copying else figures.watermark - figures.base_revision,
            text=_copied(figures) if copying else _streamed(figures),
        )

    def waiting(self, what: Waiting) -> None:
        """Say it above the line."""
        self._progress.console.print(str(what), markup=False, highlight=False)

    def warn(self, text: str) -> None:
        """Say it above the line."""
        self._progress.console.print(f"Warning: {text}", markup=False, highlight=False)

    def differs(self, found: Difference) -> None:
        """Say it above the line."""
        self._progress.console.print(line(found), markup=False, highlight=False)


def _copied(figures: Figures) -> str:
    return (
        f"{figures.keys} of {figures.keys_expected} keys, {figures.keys_per_second:.0f} keys/s, "
        f"{figures.bytes_per_second / 1e6:.1f} MB/s{_eta(figures)}"
    )


def _streamed(figures: Figures) -> str:
    return (
        f"revision {figures.watermark}, {figures.events_per_second:.0f} events/s, "
        f"lag {figures.lag_revisions} revisions, {figures.lag_seconds:.1f} s{_eta(figures)}"
    )


def _eta(figures: Figures) -> str:
    return f", {figures.eta_seconds:.0f} s left" if figures.eta_seconds else ""
