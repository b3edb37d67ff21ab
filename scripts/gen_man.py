"""Write man/: one page for brainctl and one for each of its commands, from the commands themselves."""

import sys
from collections.abc import Iterator
from pathlib import Path

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from brainctl.cli.examples import examples_of
from brainctl.cli.main import COMMANDS, load, root
from brainctl.errors import ExitCode

MEANINGS = {
    ExitCode.OK: "it worked",
    ExitCode.ERROR: "the server refused, or the command line is wrong",
    ExitCode.CONNECTION: "no endpoint could be reached",
    ExitCode.INVALID_INPUT: "the input cannot be read",
    ExitCode.UNSUPPORTED: "a flag has a value that is not supported",
    ExitCode.INTERRUPTED: "the other side has ended a watch or a snapshot",
    ExitCode.IO: "a file could not be read or written",
    ExitCode.DIFFERENT: "the stores differ, or not all of a store could be saved",
    ExitCode.COMPACTED: "the history that is needed has been compacted",
    ExitCode.FENCED: "another writer has taken over",
    ExitCode.IN_USE: "another process holds the store",
    ExitCode.DAMAGED: "the store is damaged",
    ExitCode.NO_SPACE: "a file system is full; where it is that of standard output, what was asked for has happened",
    ExitCode.NOT_EMPTY: "the target holds data already",
    ExitCode.UNKNOWN_OUTCOME: "a change may or may not have happened",
    ExitCode.LISTEN: "the address to listen at cannot be had",
    ExitCode.TOO_SLOW: "a disk does not reach what was required of it",
    ExitCode.TIMEOUT: "no answer came in time",
    ExitCode.BAD_ARGS: "arguments are missing, too many, or exclude each other",
    ExitCode.SIGINT: "interrupted (Ctrl-C); a write that was under way may have happened",
    ExitCode.SIGTERM: "terminated",
}


def pages() -> dict[str, str]:
    """File name and content of each page."""
    top = root()
    found = {"brainctl.1": "\n".join(_main_page(top)) + "\n"}
    for name in COMMANDS:
        found[f"brainctl-{name}.1"] = "\n".join(_page(name, load(name))) + "\n"
    return found


def _main_page(top: TyperGroup) -> Iterator[str]:
    yield from _title("brainctl", "the tool suite for people who run etcd")
    yield from (".SH SYNOPSIS", r"\fBbrainctl\fR [\fIflags\fR] \fIcommand\fR [\fIarguments\fR]")
    yield ".SH COMMANDS"
    for name, (_, summary) in COMMANDS.items():
        yield from (".TP", rf"\fBbrainctl\-{_escape(name)}\fR(1)", _escape(summary))
    yield ".SH GLOBAL FLAGS"
    yield "They are accepted before and after the command."
    yield from _options(top)
    yield ".SH ENVIRONMENT"
    yield "Each global flag has a variable: BRAINCTL_WRITE_OUT for \\-\\-write\\-out, and ETCDCTL_WRITE_OUT behind it."
    yield "The order is: flag, BRAINCTL_ variable, ETCDCTL_ variable, context of the configuration file, default."
    yield ".SH FILES"
    yield from (".TP", r"\fI~/.config/brainctl/config.toml\fR", "contexts: tables of global flags by name")
    yield ".SH EXIT STATUS"
    for code in ExitCode:
        yield from (".TP", rf"\fB{int(code)}\fR", _escape(MEANINGS[code]))


def _page(name: str, command: TyperCommand | TyperGroup) -> Iterator[str]:
    yield from _title(f"brainctl-{name}", COMMANDS[name][1])
    if isinstance(command, TyperGroup):
        yield ".SH COMMANDS"
        for below, sub in command.commands.items():
            assert isinstance(sub, TyperCommand)
            yield rf".SS brainctl {_escape(name)} {_escape(below)}{_arguments(sub)}"
            yield from _description(sub)
            yield from _options(sub)
    else:
        yield from (".SH SYNOPSIS", rf"\fBbrainctl {_escape(name)}\fR [\fIflags\fR]{_arguments(command)}")
        yield ".SH DESCRIPTION"
        yield from _description(command)
        if next(_options(command), None):
            yield ".SH FLAGS"
            yield from _options(command)
    if examples := examples_of(name):
        yield ".SH EXAMPLES"
        for example in examples:
            yield from (".TP", rf"\fB{_escape(example.line)}\fR", _escape(example.purpose))
    yield from (".SH SEE ALSO", r"\fBbrainctl\fR(1) for the global flags, the variables and the exit status.")


def _title(name: str, summary: str) -> Iterator[str]:
    yield f'.TH "{_escape(name.upper())}" "1" "" "brainctl" "brainctl manual"'
    yield from (".SH NAME", rf"{_escape(name)} \- {_escape(summary[:1].lower() + summary[1:])}")


def _arguments(command: TyperCommand) -> str:
    names = [p.metavar or p.name for p in command.params if isinstance(p, TyperArgument) and not p.hidden]
    return "".join(rf" \fI{_escape(name)}\fR" for name in names if name)


def _description(command: TyperCommand) -> Iterator[str]:
    for paragraph in (command.help or "").split("\n\n"):
        verbatim = paragraph.startswith("    ")
        yield ".nf" if verbatim else ".PP"
        yield from (_escape(line) for line in paragraph.splitlines())
        if verbatim:
            yield ".fi"


def _options(command: TyperCommand | TyperGroup) -> Iterator[str]:
    for param in command.params:
        if not isinstance(param, TyperOption) or param.hidden or "--help" in param.opts:
            continue
        names = ", ".join(rf"\fB{_escape(name)}\fR" for name in [*param.opts, *param.secondary_opts])
        value = "" if param.is_flag else rf" \fI{_escape(param.metavar or 'string')}\fR"
        yield from (".TP", names + value, _escape(param.help or ""))


def _escape(text: str) -> str:
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


def main() -> int:
    """Write them, or with --check say which are not up to date."""
    directory = Path(__file__).resolve().parent.parent / "man"
    directory.mkdir(exist_ok=True)
    found = pages()
    stale = [name for name, text in found.items() if _read(directory / name) != text]
    stale += [path.name for path in directory.glob("*.1") if path.name not in found]
    if "--check" in sys.argv:
        for name in stale:
            print(f"man/{name} is not up to date: run scripts/gen_man.py")
        return 1 if stale else 0
    for path in directory.glob("*.1"):
        path.unlink()
    for name, text in found.items():
        (directory / name).write_text(text)
    return 0


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
