"""The process: it can be interrupted before anything else is loaded."""

import os
import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # Python's, which would show a traceback
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

from brainctl.cli import interrupt


def main() -> None:
    """Run the command line of the process, and end it."""
    interrupt.at_once()
    from brainctl.cli import main as cli

    cli.main()
