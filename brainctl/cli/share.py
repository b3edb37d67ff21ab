"""The data files of the package, manual pages and completion scripts, and their installation for one user."""

from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


def shared(name: str) -> dict[str, bytes]:
    """Return file name and content of each data file in `name`, "man" or "completions".

    A wheel carries them in brainctl/share; in a checkout they lie beside the package.
    """
    directory = PACKAGE / "share" / name
    if not directory.is_dir():
        directory = PACKAGE.parent / name
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def data_home(environment: Mapping[str, str]) -> Path:
    """Return the user's directory for data files: XDG_DATA_HOME, or ~/.local/share."""
    return _user_directory(environment.get("XDG_DATA_HOME", ""), ".local/share")


def config_home(environment: Mapping[str, str]) -> Path:
    """Return the user's directory for configuration files: XDG_CONFIG_HOME, or ~/.config."""
    return _user_directory(environment.get("XDG_CONFIG_HOME", ""), ".config")


def _user_directory(given: str, default: str) -> Path:
    """Return `given` if it is absolute, as the XDG Base Directory Specification asks, or `default` below the home."""
    return Path(given) if Path(given).is_absolute() else Path.home() / default


def install(files: Mapping[str, bytes], directory: Path) -> list[Path]:
    """Write the files into `directory`, made when it is missing; a file of that name is replaced at once.

    Returns:
        The paths written.

    Raises:
        OSError: a directory or a file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in files.items():
        path, fresh = directory / name, directory / f".{name}.new"
        fresh.write_bytes(content)
        fresh.replace(path)
        written.append(path)
    return written
