"""The process: it can be interrupted before anything else is loaded."""

from typing import NoReturn

from brainctl import interrupt


def main() -> NoReturn:
    """Run the command line of the process."""
    interrupt.at_once()
    from brainctl import cli  # noqa: PLC0415 - which takes a tenth of a second

    cli.main()
