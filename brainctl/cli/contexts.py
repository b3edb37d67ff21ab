"""The file of contexts, and which of its tables is in force.

current-context = "production"

[contexts.production]
endpoints = ["10.0.0.1:2379", "10.0.0.2:2379"]
cacert = "/etc/etcd/ca.crt"
"""

from collections.abc import Mapping
from pathlib import Path

from brainctl.errors import InvalidInput, next_step


def config_path(environ: Mapping[str, str]) -> Path:
    """Return where the file is, whether or not it exists: $BRAINCTL_CONFIG, or in $XDG_CONFIG_HOME (~/.config)."""
    if environ.get("BRAINCTL_CONFIG"):
        return Path(environ["BRAINCTL_CONFIG"])
    home = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config"
    return Path(home) / "brainctl" / "config.toml"


def context(name: str, path: Path, *, must_exist: bool = False) -> tuple[str, Mapping[str, str]]:
    """Return the name and the settings of the context `name`, for "" of the file's current one, as texts by flag.

    Without a file, unless it `must_exist`, and without a current context there are none.

    Raises:
        InvalidInput: The file cannot be read, or has no such context; names both.
    """
    content = _content(path)
    if content is None and (name or must_exist):
        raise InvalidInput(f"there is no context {name!r}: {path} does not exist" if name else f"{path} does not exist")
    current = (content or {}).get("current-context", "")
    if not isinstance(current, str):
        raise InvalidInput(f"{path}: current-context is no name")
    name = name or current
    if not name:
        return "", {}
    tables = (content or {}).get("contexts")
    table = tables.get(name) if isinstance(tables, dict) else None
    if not isinstance(table, dict):
        known = ", ".join(sorted(tables)) if isinstance(tables, dict) else ""
        raise InvalidInput(f"{path} has no context {name!r}: it has {known or 'none'}")
    return name, {key: _plain(value, f"{path}: context {name!r}: {key}") for key, value in table.items()}


def context_names(path: Path) -> list[str]:
    """Return the names of the contexts in a file; none where it cannot be read."""
    try:
        tables = (_content(path) or {}).get("contexts")
    except InvalidInput:
        return []
    return sorted(tables) if isinstance(tables, dict) else []


def _content(path: Path) -> dict[str, object] | None:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}").advised(next_step(error)) from error
    import tomllib

    try:
        return tomllib.loads(data.decode())
    except ValueError as error:
        form = "it is TOML, with a table [contexts.NAME] of flags for each context"
        raise InvalidInput(f"cannot read {path}: {error}").advised(form) from error


def _plain(value: object, place: str) -> str:
    """Return a value of the file as the text that a flag would have.

    Raises:
        InvalidInput: It is a table, a date, or a list of other than texts.
    """
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise InvalidInput(f"{place} is neither a text, a number, true or false, nor a list of texts")
