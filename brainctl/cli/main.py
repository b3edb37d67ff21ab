"""The command line: finds the command, and is the only place that turns errors and signals into exit codes."""

import gc
import os
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import NoReturn, Protocol

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from brainctl.cli import streams
from brainctl.cli.command import COMPLETE, Invocation, group, prepare
from brainctl.cli.etcdctl_dialect import etcdctl_text, suggestions, translate
from brainctl.cli.group import match
from brainctl.cli.streams import complain, io_code, reason
from brainctl.cli.word_order import arranged
from brainctl.errors import BrainctlError, ExitCode, next_step

BROKEN_PIPE = 141
"""The exit code of a program that dies of a closed pipe."""
COMMANDS = {
    "get": ("get", "Get a key or a range of keys"),
    "put": ("put", "Put a key"),
    "del": ("delete", "Delete a key or a range of keys"),
    "txn": ("txn.command", "Process requests in one transaction"),
    "watch": ("watch.command", "Watch keys for changes"),
    "lease": ("lease", "Grant, renew and revoke leases"),
    "compaction": ("compaction", "Drop the history before a revision"),
    "defrag": ("defrag", "Give unused space back"),
    "snapshot": ("snapshot.command", "Save a store into a file, look at it, and make a store of it"),
    "hashkv": ("hashkv", "Hash the history in a file"),
    "endpoint": ("endpoint", "Ask the endpoints for health, status and hash"),
    "member": ("member", "List and change the members"),
    "move-leader": ("move_leader", "Make another member the leader"),
    "downgrade": ("downgrade", "Take a cluster back to an older version of etcd"),
    "alarm": ("alarm", "List and disarm alarms"),
    "lock": ("lock", "Hold a lock, alone or for a command"),
    "elect": ("elect", "Run for a leadership, or watch who has it"),
    "auth": ("auth", "Turn authentication on and off"),
    "user": ("user", "Manage users, their passwords and their roles"),
    "role": ("role", "Manage roles and what they allow"),
    "serve": ("serve.command", "Serve the etcd API from a directory or from TiKV"),
    "store": ("store.command", "Look at a store, check it, save what is left of it"),
    "flash": ("flash.command", "Measure the disk under a store, and what a store does to it"),
    "migrate": ("migrate.command", "Copy a store into another one, live"),
    "verify": ("verify.command", "Compare two stores"),
    "trace": ("trace.command", "Show where the time of a write goes"),
    "demo": ("demo", "Show a live migration on this machine"),
    "make-mirror": ("make_mirror", "Copy keys to another store, and follow their changes"),
    "check": ("check.command", "Check how fast a store is, and whether it keeps its promises"),
    "options": ("options", "Show the global flags"),
    "completion": ("completion", "Print the completion script of a shell"),
    "man": ("man", "Install the manual pages"),
    "version": ("version", "Print the version"),
}
"""Name, module in brainctl.commands, summary."""


class _Formatter(Protocol):
    def section(self, name: str) -> AbstractContextManager[None]:
        """Begin a part of the help with a heading."""

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None:
        """Write two columns."""


class Commands(TyperGroup):
    """The commands by name, or by the beginning of one name; a module is loaded when its command is used."""

    def list_commands(self, ctx: object) -> list[str]:
        """Return all names."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | TyperGroup | None:
        """Return the command, None when there is none or when the beginning fits several."""
        del ctx
        name = match(cmd_name, COMMANDS)
        return load(name) if name else None

    def format_commands(self, ctx: object, formatter: _Formatter) -> None:
        """Write the summaries, without loading the commands."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def load(name: str) -> TyperCommand | TyperGroup:
    """Load the command `name` from its module."""
    app: typer.Typer = import_module(f"brainctl.commands.{COMMANDS[name][0]}").app
    loaded = typer.main.get_command(app)
    assert isinstance(loaded, TyperCommand | TyperGroup)
    loaded.name = name
    prepare(loaded)
    return loaded


def root() -> TyperGroup:
    """Return the group of all commands, brainctl itself."""
    app = group("The tool suite for people who run etcd.", cls=Commands, hidden=False)
    loaded = typer.main.get_command(app)
    assert isinstance(loaded, TyperGroup)
    prepare(loaded)
    return loaded


def run(argv: Sequence[str], program: str = "brainctl") -> int:
    """Run a command line of the program of that name; return the exit code of the process."""
    if COMPLETE in os.environ:
        from typer._completion_classes import completion_init

        completion_init()
    debug = "--debug" in argv or os.environ.get("BRAINCTL_DEBUG")
    try:
        code = root().main(
            args=translate(arranged(argv, COMMANDS)),
            prog_name="brainctl",
            standalone_mode=False,
            obj=Invocation(tuple(argv), program=program),
        )
    except BrainctlError as error:
        if debug:
            raise
        complain(f"Error: {error.told()}")
        return int(error.exit_code)
    except (BrokenPipeError, SystemExit):  # Typer makes a SystemExit of it
        return BROKEN_PIPE
    except OSError as error:
        if debug:
            raise
        step = next_step(error)
        complain(f"Error: {reason(error)}" + (f": {error.filename}" if error.filename else "") + (step and f"; {step}"))
        return int(io_code(error))
    except TyperException as error:
        place = getattr(getattr(error, "ctx", None), "command_path", "brainctl")
        text = etcdctl_text(error.format_message(), getattr(error, "option_name", ""), argv, place)
        unknown = re.match(r'unknown command "(.*)" for "brainctl"$', text)
        complain(f"Error: {text}{suggestions(unknown[1], COMMANDS) if unknown else ''}")
        complain(f"Run '{place} --help' for usage.")
        return int(ExitCode.ERROR)
    except KeyboardInterrupt:
        return int(ExitCode.SIGINT)
    return code if isinstance(code, int) else 0


def main() -> NoReturn:
    """Run the command line of this process, and end it."""
    streams.complete()
    gc.disable()  # until a command has run for a while: see brainctl.cli.command
    if not __debug__:
        complain("Error: brainctl does not run under python -O: its checks are assertions")
        sys.exit(ExitCode.ERROR)
    leave(run(sys.argv[1:], os.path.basename(sys.argv[0])))  # noqa: PTH119 - pathlib takes longer to load


def leave(code: int) -> NoReturn:
    """End the process. Python's own end takes every module apart, which is a fifth of the time of a `get`; nothing here
    waits for that: what must be closed or written is a context manager's.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = code or BROKEN_PIPE
    except OSError as error:
        if not code:
            complain(f"Error: cannot write to standard output: {reason(error)}")
        code = code or int(io_code(error))
    os._exit(code)
