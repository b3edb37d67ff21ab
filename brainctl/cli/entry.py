"""The process: it can be interrupted before anything else is loaded."""

from typing import NoReturn

from brainctl.cli import interrupt


def main() -> NoReturn:
    """Run the command line of the process."""
    interrupt.at_once()
    from brainctl.cli import main as cli

    cli.main()
