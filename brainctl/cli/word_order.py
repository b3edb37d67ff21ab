"""Words in the order that Typer takes: cobra lets the flags of a command stand before its name, and has `help`."""

from collections.abc import Iterable, Sequence

from brainctl.cli.group import match
from brainctl.cli.settings import FLAGS, Kind

GROUPS = frozenset(
    ("alarm", "auth", "check", "downgrade", "endpoint", "flash", "lease", "man", "member", "role", "snapshot")
) | {"store", "trace", "user"}
"""The commands with subcommands; a test holds the list against the commands."""
HELP = "help"
_BOOLEANS = {f"--{flag.name}" for flag in FLAGS if flag.kind is Kind.BOOL} | {"--help", "-h", "--version"}
_BOOLEANS |= {f"--no-{flag.name}" for flag in FLAGS if flag.kind is Kind.BOOL}
_OF_GROUPS = {"endpoint": "--cluster"}
"""The flags without a value that a group has for all of its commands."""


def arranged(argv: Sequence[str], commands: Iterable[str]) -> list[str]:
    """Return a command line with its command first: `endpoint --cluster status` is `endpoint status --cluster`.

    `help get` is `get --help`, and `--version` alone is `version`. A flag that is not known here takes the next word
    for its value, as in etcdctl. What names no command is left as it is.
    """
    names = list(commands)
    words = list(argv)
    path: list[str] = []
    early: list[str] = []
    while words and len(path) < (2 if path and any(name.startswith(path[0]) for name in GROUPS) else 1):
        word = words.pop(0)
        if word == "--":
            return list(argv)
        if not word.startswith("-") or word == "-":
            path.append(word)
        elif "=" in word or _is_alone(word, path):
            early.append(word)
        else:
            early += [word, *words[:1]]
            del words[:1]
    if path[:1] == [HELP]:
        return [*(word for word in words if not word.startswith("-")), "--help"]
    if "--version" in early and not path:
        return ["version"]
    return [*path, *early, *words] if path and match(path[0], names) else list(argv)


def _is_alone(word: str, path: Sequence[str]) -> bool:
    """Return whether a flag takes no further word."""
    if not word.startswith("--"):
        return word in _BOOLEANS or len(word) > 2
    return word in _BOOLEANS or (bool(path) and match(path[0], _OF_GROUPS) is not None and word in _OF_GROUPS.values())
