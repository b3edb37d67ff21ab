"""brainctl completion."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from typer._completion_shared import get_completion_script

from brainctl.cli.command import COMPLETE, single
from brainctl.cli.session import Session
from brainctl.cli.share import config_home, data_home, install
from brainctl.errors import BadArguments

SHELLS = ("bash", "zsh", "fish", "powershell")
FILES = {"bash": "brainctl", "zsh": "_brainctl", "fish": "brainctl.fish"}
"""The name under which a shell looks for the script."""


BASH = """
# bash takes a colon and an equals sign for the ends of words: HOST:PORT is joined again here. What has been typed up to
# the last of them is not part of the answer, which bash puts behind it.
_brainctl_completion() {
    local IFS=$'\\n' rest="$COMP_LINE" word i
    local -a words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word="${COMP_WORDS[i]}"
        if ((i)) && [[ $rest != [[:space:]]* ]]; then
            words[${#words[@]} - 1]+="$word"
        else
            words+=("$word")
        fi
        rest="${rest#"${rest%%[![:space:]]*}"}"
        rest="${rest#"$word"}"
    done
    local last="${words[${#words[@]} - 1]}"
    COMPREPLY=($(COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) _BRAINCTL_COMPLETE=complete_bash "$1"))
    COMPREPLY=("${COMPREPLY[@]#"${last%"${last##*[:=]}"}"}")
}

complete -o default -F _brainctl_completion brainctl
"""
"""The script for bash."""


class CompletionOptions(NamedTuple):
    """The shell, and the directory to install its script in; None prints the script."""

    shell: str
    directory: Path | None


def parse(
    args: Annotated[
        list[str] | None, typer.Argument(metavar="bash|zsh|fish|powershell|install", show_default=False)
    ] = None,
    to: Annotated[
        str, typer.Option("--to", metavar="DIR", help="directory to install into [the one that the shell loads from]")
    ] = "",
) -> CompletionOptions:
    """Print the completion script of a shell: source <(brainctl completion bash).

    `brainctl completion install [SHELL]` writes it where the shell loads it from; without SHELL, for that of $SHELL.
    """
    named = args or []
    installs = named[:1] == ["install"]
    if installs:
        named = named[1:]
    if installs and not named:
        named = [Path(os.environ.get("SHELL", "")).name]
    if len(named) != 1 or named[0] not in SHELLS:
        raise BadArguments(f"completion command needs one of {', '.join(SHELLS)}")
    if not installs:
        return CompletionOptions(named[0], None)
    if to:
        return CompletionOptions(named[0], Path(to))
    if named[0] not in FILES:
        raise BadArguments("PowerShell has no directory for completion scripts: name one with --to, and load it there")
    return CompletionOptions(named[0], directory_of(named[0], os.environ))


def directory_of(shell: str, environment: Mapping[str, str]) -> Path:
    """Return the directory from which `shell` (bash, zsh or fish) loads a user's completion scripts."""
    if shell == "fish":
        return config_home(environment) / "fish" / "completions"
    if shell == "zsh":
        return data_home(environment) / "zsh" / "site-functions"
    return data_home(environment) / "bash-completion" / "completions"


def run(session: Session, plan: CompletionOptions) -> None:
    """Print the script, or install it and say where."""
    if plan.directory is None:
        session.say(script(plan.shell))
        return
    (path,) = install({FILES.get(plan.shell, "brainctl.ps1"): script(plan.shell).encode() + b"\n"}, plan.directory)
    session.say(f"completion for {plan.shell} installed in {path}")
    if plan.shell == "zsh":
        session.say(f"add it to ~/.zshrc, before compinit: fpath=({plan.directory} $fpath)")


def script(shell: str) -> str:
    """Return the completion script of a shell."""
    if shell == "bash":
        return BASH.strip()
    return get_completion_script(prog_name="brainctl", complete_var=COMPLETE, shell=shell)


app = single("completion", parse, run)
