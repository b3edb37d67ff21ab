"""The settings of a server: flag, then BRAINCTL_SERVE_ variable, then ETCD_ variable, then file, then default."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from brainctl.cli.etcd_flags import OLD_PREFIX, Setting, check, is_known, of_environment
from brainctl.cli.serve_flags import CONFIG_FILE, FLAGS, ServeFlag
from brainctl.cli.settings import Given, Kind, read_bool, read_duration, read_int
from brainctl.errors import BadArguments, InvalidInput, next_step
from brainctl.stores.schemes import Can, forms
from brainctl.stores.urls import canonical

if TYPE_CHECKING:
    from brainctl.node.jobs.retention import Retention

STORE = "store"
"""A flag of every command that the file of a server may have too."""
DURATION_LIMIT_SECONDS = 2**63 / 1e9


class Value(NamedTuple):
    """The text of a setting, and where it is from, as messages name it."""

    text: str
    origin: str
    is_given: bool = False
    """Whether the value is from the command line or the environment."""


class ServeSettings:
    """All settings of one server by name; what cannot be read is a BrainctlError that names the flag."""

    def __init__(self, given: Mapping[str, Given | None], environ: Mapping[str, str], etcd: Sequence[str] = ()) -> None:
        """Create the settings from all their sources.

        Args:
            given: the flags of the command line, by key; None for those that were not typed.
            environ: the environment variables.
            etcd: flags of etcd that have nothing to set here, as NAME=VALUE.

        Raises:
            BadArguments: a flag of etcd asks for something that this server does not do.
            InvalidInput: the configuration file cannot be used.
        """
        path = _given(CONFIG_FILE, given, environ)
        content = _read_file(path.text) if path is not None and path.text else {}
        self._store = canonical(content.get(STORE, ""))
        self._values: dict[str, Value] = {}
        for flag in FLAGS:
            value = _given(flag, given, environ)
            if value is None and flag.name in content:
                assert path is not None
                value = Value(content[flag.name], f"--{flag.name} in {path.text}")
            self._values[flag.name] = value or Value(flag.default, f"--{flag.name}")
        self.remarks = _remarks(etcd, environ, content, path.text if path is not None else "")
        """Remarks about settings that are ignored, a line each."""

    @property
    def has_place(self) -> bool:
        """Return whether the flags, the variables or the file of the server name what it serves."""
        return bool(self._values["data-dir"].text or self._store)

    def place(self, store: str) -> tuple[str, str]:
        """Return a directory and "", or "" and the URL of a store: what is to be served.

        A flag or a variable is stronger than the file.

        Args:
            store: the URL of --store, "" without one.

        Raises:
            BadArguments: two stores are named, or none.
        """
        data_dir = self._values["data-dir"]
        if data_dir.is_given and not data_dir.text:
            raise BadArguments(f"{data_dir.origin} is empty: which directory?")
        if data_dir.is_given and not store:
            return data_dir.text, ""
        if store and not data_dir.is_given:
            return "", store
        if data_dir.text and (store or self._store):
            raise BadArguments("--data-dir and --store name two stores; which one?")
        if not data_dir.text and not self._store:
            raise BadArguments(f"serve needs --data-dir DIR or --store {forms(Can.SERVE, 'or')}")
        return data_dir.text, self._store

    def text(self, name: str) -> str:
        """Return a setting as it was given."""
        return self._values[name].text

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the parts between commas."""
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())

    def truth(self, name: str) -> bool:
        """Return a setting that is true or false.

        Raises:
            BadValue: it is neither.
        """
        text, origin, _ = self._values[name]
        return read_bool(text, origin)

    def number(self, name: str, least: int | None = None, most: int | None = None) -> int:
        """Return an integer.

        Raises:
            BadArguments: it is below `least` or above `most`.
            BadValue: it is no integer.
        """
        text, origin, _ = self._values[name]
        value = read_int(text, origin)
        if (least is not None and value < least) or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"{least} to {most}"
            raise BadArguments(f"{origin}: {value} is out of bounds, which are {bounds}")
        return value

    def seconds(self, name: str) -> float:
        """Return a time in seconds.

        Raises:
            BadArguments: it is negative.
            BadValue: it is no time.
        """
        text, origin, _ = self._values[name]
        value = read_duration(text, origin)
        if value < 0:
            raise BadArguments(f"{origin}: {text} is negative")
        return value

    def retention(self) -> "Retention | None":
        """Return what the two flags of automatic compaction ask for; None to keep everything.

        A bare number is hours or revisions; a time needs the mode periodic. Unlike etcd, a time is refused in the mode
        revision, and so is a negative value: etcd takes both, and then does not do what was meant.

        Raises:
            BadArguments: the mode is not known, or the value does not fit it.
            BadValue: the value is no time.
        """
        from brainctl.node.jobs.retention import KeepPeriod, KeepRevisions

        mode, mode_origin, _ = self._values["auto-compaction-mode"]
        text, origin, _ = self._values["auto-compaction-retention"]
        if mode not in ("periodic", "revision"):
            raise BadArguments(f"{mode_origin}: {mode!r} is neither periodic nor revision")
        text = text or "0"
        plain = text.isascii() and text.isdigit()
        if mode == "revision":
            if not plain:
                raise BadArguments(f"{origin}: {text!r} is not a number of revisions")
            return KeepRevisions(int(text)) if int(text) else None
        seconds = int(text) * 3600.0 if plain else read_duration(text, origin)
        if not 0 <= seconds < DURATION_LIMIT_SECONDS:
            raise BadArguments(f"{origin}: {text} is no time to keep")
        return KeepPeriod(seconds) if seconds else None


def _remarks(etcd: Sequence[str], environ: Mapping[str, str], content: Mapping[str, str], path: str) -> list[str]:
    """Return what is to be said about settings of etcd that have nothing to set here.

    Raises:
        BadArguments: One of them would be a promise that is not kept.
    """
    variables, unknown = of_environment(environ.items())
    flags = [Setting(name, text, f"--{name}") for name, _, text in (each.partition("=") for each in etcd)]
    keys = [Setting(key, text, f"{key} in {path}") for key, text in content.items() if is_known(key)]
    ignored = check([*flags, *variables, *keys])
    remarks = []
    if ignored:
        remarks.append(f"ignored, since brainctl has nothing that they could set: {', '.join(ignored)}")
    if unknown:
        remarks.append(f"no setting of etcd or brainctl: {', '.join(unknown)}")
    return remarks


def _given(flag: ServeFlag, given: Mapping[str, Given | None], environ: Mapping[str, str]) -> Value | None:
    """Return the value on the command line or in the environment, None without one.

    An empty variable counts as none.
    """
    value = given.get(flag.key)
    if value is not None:
        return Value(str(value).lower() if isinstance(value, bool) else value, f"--{flag.name}", is_given=True)
    old = f"ETCD_{f'{OLD_PREFIX}{flag.name}'.replace('-', '_').upper()}"
    for variable in (*flag.variables(), old):
        if environ.get(variable):
            return Value(environ[variable], variable, is_given=True)
    return None


def _read_file(path: str) -> dict[str, str]:
    """Return the settings of a TOML file, as texts by name.

    Raises:
        InvalidInput: it cannot be read, or has a setting that is not known.
    """
    import tomllib

    try:
        content = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}").advised(next_step(error)) from error
    except ValueError as error:
        form = 'it is TOML with the flags of serve, such as data-dir = "/var/lib/brainctl"'
        raise InvalidInput(f"cannot read {path}: {error}").advised(form) from error
    known = {flag.name: flag.kind for flag in FLAGS if flag is not CONFIG_FILE} | {STORE: Kind.TEXT}
    settings = {}
    for given, value in content.items():
        key = given.removeprefix(OLD_PREFIX) if given.removeprefix(OLD_PREFIX) in known else given
        if key not in known and not is_known(key):
            raise InvalidInput(f"{path}: there is no setting {key!r}; settings are named as the flags of serve")
        settings[key] = _plain(path, key, value)
    return settings


def _plain(path: str, key: str, value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str() | int():
            return str(value)
        case list() if all(isinstance(part, str) for part in value):
            return ",".join(value)
        case _:
            raise InvalidInput(f"{path}: {key} is neither a text, a number, true or false, nor a list of texts")
