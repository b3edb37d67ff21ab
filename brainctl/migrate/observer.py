"""The interface of what shows a migration: a terminal, a log, or the program that runs it as a library."""

from typing import Protocol

from brainctl.migrate.progress import Figures
from brainctl.migrate.retry import Waiting
from brainctl.verify.difference import Difference


class Observer(Protocol):
    """Receives the progress of a migration."""

    def progress(self, figures: Figures) -> None:
        """Show the figures: called about once a second, when the phase changes, and at the end."""

    def waiting(self, what: Waiting) -> None:
        """Show that a store does not answer and is waited for: called at most once a second."""

    def warn(self, text: str) -> None:
        """Show something that the user must know."""

    def differs(self, found: Difference) -> None:
        """Show a difference for which a cutover is given up: called for the first of them."""


class Unobserved:
    """An observer that shows nothing."""

    def progress(self, figures: Figures) -> None:
        """See `Observer`."""

    def waiting(self, what: Waiting) -> None:
        """See `Observer`."""

    def warn(self, text: str) -> None:
        """See `Observer`."""

    def differs(self, found: Difference) -> None:
        """See `Observer`."""
