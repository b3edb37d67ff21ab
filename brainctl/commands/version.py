"""brainctl version."""

from brainctl import __version__
from brainctl.cli.command import single
from brainctl.cli.options import Passed
from brainctl.cli.session import Session

API_VERSION = "3.7"


def parse(args: Passed = None) -> None:
    """Print the version."""
    del args


def run(session: Session, plan: None) -> None:
    """Print it, and that of the API."""
    del plan
    session.say(f"brainctl version: {__version__}")
    session.say(f"API version: {API_VERSION}")


app = single("version", parse, run)
