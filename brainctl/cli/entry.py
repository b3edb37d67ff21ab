"""The process: it can be interrupted before anything else is loaded."""

import _signal  # type: ignore[import-not-found] # what `signal` wraps, which loads six modules: an interrupt would show a traceback
import os

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # Python's, which would show a traceback
    _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))

from brainctl.cli import interrupt


def main() -> None:
    """Run the command line of the process, and end it."""
    interrupt.at_once()
    from brainctl.cli import main as cli

    cli.main()
