"""How far a long command is: a line that moves, on a terminal. Elsewhere nothing is written."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]
"""Takes how much is done, and of how much; 0 where nobody knows."""


def on_terminal() -> bool:
    """Return whether progress is shown: whether standard error is a terminal."""
    return sys.stderr.isatty()


@contextmanager
def progress(what: str, show: Callable[[int], str]) -> Iterator[Progress]:
    """Show on standard error how far a command is that does `what`, until the block ends; the line is gone then.

    `show` writes an amount with its unit.
    """
    with stages((what, show)) as (stage,):
        yield stage


@contextmanager
def stages(*kinds: tuple[str, Callable[[int], str]]) -> Iterator[list[Progress]]:
    """Show several things that a command does one after the other, as `progress` shows one."""
    if not on_terminal():
        yield [lambda _done, _total: None for _ in kinds]
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[text]}")
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:

        def stage(what: str, show: Callable[[int], str]) -> Progress:
            task = bar.add_task(what, total=None, text="", visible=False)

            def report(done: int, total: int) -> None:
                text = f"{show(done)} of {show(total)}" if total else show(done)
                bar.update(task, completed=done, total=total or None, text=text, visible=True)

            return report

        yield [stage(*kind) for kind in kinds]


def keys(count: int) -> str:
    """Write a number of keys."""
    return f"{count} keys"


def megabytes(count: int) -> str:
    """Write a number of bytes."""
    return f"{count / 1e6:.1f} MB"


def seconds(count: int) -> str:
    """Write a time."""
    return f"{count} s"
