"""brainctl completion."""

from typing import Annotated

import typer
from typer._completion_shared import get_completion_script

from brainctl.commands._command import COMPLETE, single
from brainctl.errors import BadArguments
from brainctl.session import Session

SHELLS = ("bash", "zsh", "fish", "powershell")


def parse(
    args: Annotated[list[str] | None, typer.Argument(metavar="bash|zsh|fish|powershell", show_default=False)] = None,
) -> str:
    """Print the completion script of a shell: source <(brainctl completion bash)."""
    if not args or len(args) != 1 or args[0] not in SHELLS:
        raise BadArguments(f"completion command needs one of {', '.join(SHELLS)}")
    return args[0]


def run(session: Session, shell: str) -> None:
    """Print it."""
    session.say(script(shell))


def script(shell: str) -> str:
    """The completion script of a shell."""
    return get_completion_script(prog_name="brainctl", complete_var=COMPLETE, shell=shell)


app = single("completion", parse, run)
