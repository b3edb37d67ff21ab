"""The flag dialect of etcdctl (Go's pflag), where it differs from Typer's, and its words for mistakes."""

import re
from collections.abc import Iterable, Sequence

from brainctl.cli.settings import FLAGS, Kind, read_bool

BOOLEANS = frozenset(flag.name for flag in FLAGS if flag.kind is Kind.BOOL) | {
    "help",
    "auto-compact",
    "auto-defrag",
    "client-cert-auth",
    "cluster",
    "count-only",
    "dest-insecure-transport",
    "detail",
    "enable-grpc-gateway",
    "from-key",
    "ignore-lease",
    "ignore-value",
    "interactive",
    "keys",
    "keys-only",
    "learner",
    "listen",
    "mark-compacted",
    "no-dest-prefix",
    "no-password",
    "once",
    "physical",
    "prefix",
    "prev-kv",
    "print-value-only",
    "progress-notify",
    "range",
    "skip-hash-check",
    "stream",
}
"""The flags without a value that etcdctl has as well; a test holds the list against the commands."""
_WITH_OPPOSITE = frozenset(flag.name for flag in FLAGS if flag.kind is Kind.BOOL and flag.default == "true") | {
    "client-cert-auth",
    "dest-insecure-transport",
    "enable-grpc-gateway",
    "interactive",
}
"""The flags that are, or may be, true by default: --no-FLAG says that they are not."""
_WITH_PREFIX = ("check", "make-mirror")
"""The commands whose --prefix has a value."""
_VALUED = frozenset(name for flag in FLAGS if flag.kind is not Kind.BOOL for name in (f"--{flag.name}", flag.short))
_NO_FLAGS = frozenset(("ETCDCTL_API", "ETCDCTL_WATCH_KEY", "ETCDCTL_WATCH_RANGE_END"))
"""Variables of etcdctl's own: the version of the API, and what a watch is for."""
_LIST = "--endpoints"
"""The flag that may be given several times."""
_ATTACHED = re.compile(r"--([a-z][a-z0-9-]*)=(.*)", re.DOTALL)
_SHORT_ATTACHED = re.compile(r"-([a-zA-Z])=(.*)", re.DOTALL)


def translate(argv: Sequence[str]) -> list[str]:
    """Return a command line in Typer's dialect, of one in that of Go: --flag=true, --flag=false, -w=json.

    What stands behind -- is left as it is.
    """
    out: list[str] = []
    argv = _joined(argv)
    typed = _command(argv)
    if len(typed) > 2 and "serve".startswith(typed):
        from brainctl.cli import etcd_flags

        argv = etcd_flags.translate(argv)
    booleans = BOOLEANS - {"prefix"} if typed and any(name.startswith(typed) for name in _WITH_PREFIX) else BOOLEANS
    for place, word in enumerate(argv):
        if word == "--":
            return [*out, *argv[place:]]
        attached = _ATTACHED.fullmatch(word)
        short = _SHORT_ATTACHED.fullmatch(word)
        if attached and attached[1] in booleans:
            _add_bool(out, attached[1], read_bool(attached[2], f"--{attached[1]}"))
        elif short:
            out += [f"-{short[1]}", short[2]]
        else:
            out.append(word)
    return out


def _joined(argv: Sequence[str]) -> list[str]:
    """Return the command line with the values of several --endpoints as one list, which is at the last of them."""
    until = list(argv).index("--") if "--" in argv else len(argv)
    places = [at for at in range(until) if argv[at].partition("=")[0] == _LIST and ("=" in argv[at] or at + 1 < until)]
    if len(places) < 2:
        return list(argv)
    values = [argv[at].partition("=")[2] if "=" in argv[at] else argv[at + 1] for at in places]
    dropped = set(places[:-1]) | {at + 1 for at in places if "=" not in argv[at]}
    joined = f"{_LIST}={','.join(values)}"
    return [joined if at == places[-1] else word for at, word in enumerate(argv) if at not in dropped]


def _command(argv: Sequence[str]) -> str:
    """Return the first word that is neither a global flag nor the value of one, "" when there is none."""
    words = iter(argv)
    for word in words:
        if not word.startswith("-"):
            return word
        if word in _VALUED:
            next(words, None)
    return ""


def _add_bool(out: list[str], name: str, value: bool) -> None:
    if value:
        out.append(f"--{name}")
    elif name in _WITH_OPPOSITE:
        out.append(f"--no-{name}")
    else:
        out[:] = [word for word in out if word != f"--{name}"]


def etcdctl_text(message: str, word: str, argv: Sequence[str], place: str) -> str:
    """Return etcdctl's message for a mistake on the command line that Typer found.

    Args:
        message: Typer's message.
        word: the option that it is about, "" for none.
        argv: the command line as it was given.
        place: the command, as in "brainctl lease".
    """
    unknown = re.match(r"No such command '(.*?)'\.", message)
    if unknown:
        return f'unknown command "{unknown[1]}" for "{place}"'
    if message.startswith("No such option") and word.startswith("--"):
        return f"unknown flag: {word}"
    if message.startswith("No such option"):
        return f"unknown shorthand flag: {word[1:]!r} in {_containing(word[1:], argv)}"
    if "requires an argument" in message:
        return f"flag needs an argument: {word if word.startswith('--') else repr(word[1:]) + ' in ' + word}"
    return message[:1].lower() + message[1:].rstrip(".")


def _containing(letter: str, argv: Sequence[str]) -> str:
    for word in argv:
        if word.startswith("-") and not word.startswith("--") and letter in word:
            return word
    return f"-{letter}"


def suggestions(typed: str, names: Iterable[str]) -> str:
    """Return the names that `typed` was perhaps meant to be, as lines that etcdctl adds to its message; "" for none."""
    near = [name for name in names if name.startswith(typed.lower()) or _distance(typed.lower(), name) <= 2]
    return "\n\nDid you mean this?\n" + "".join(f"\t{name}\n" for name in sorted(near)) if near else ""


def unknown_variables(environ: Iterable[str]) -> list[str]:
    """Return a warning for each ETCDCTL_ variable that sets nothing, with the names that it was perhaps meant to be."""
    known = {flag.variables()[1] for flag in FLAGS} | _NO_FLAGS
    return [
        f"warning: there is no variable {name}, and it changes nothing{_meant(name, known)}"
        for name in sorted(environ)
        if name.startswith("ETCDCTL_") and name not in known
    ]


def _meant(name: str, known: Iterable[str]) -> str:
    near = [other for other in sorted(known) if _distance(name, other) <= 2]
    return f": perhaps {near[0]} is meant" if near else ""


def _distance(left: str, right: str) -> int:
    """Return how many letters must be added, removed or changed to make one of the other (Levenshtein distance)."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]
