"""URLs of stores, brought into the one form that the rest of the program reads."""

import os

from brainctl.errors import InvalidInput


def canonical(url: str) -> str:
    """Return the URL with its scheme in lower case, and a directory as `file://` and its name, with % as %25.

    A directory may be named as in any URL: file:/DIR, file://localhost/DIR, with percent-encoding. file://DIR with a
    relative DIR is one of the working directory, file://~/DIR one of the user's home.

    Raises:
        InvalidInput: The directory's name has a NUL byte.
    """
    scheme, colon, rest = url.strip().partition(":")
    scheme = scheme.lower()
    if not colon or (scheme != "file" and not rest.startswith("//")):
        return url
    if scheme != "file":
        return f"{scheme}:{rest}"
    from urllib.parse import unquote  # noqa: PLC0415 - not for --help

    name = unquote(rest.removeprefix("//"), errors="surrogateescape")
    if rest.lower().startswith("//localhost/"):
        name = name[len("localhost") :]
    if name == "~" or name.startswith("~/"):
        name = os.path.expanduser(name)  # noqa: PTH111 - that of pathlib raises where there is no home
    return of_directory(name)


def of_directory(name: str) -> str:
    """Return the URL of a directory by its name.

    Raises:
        InvalidInput: The name has a NUL byte.
    """
    if "\0" in name:
        raise InvalidInput(f"{name!r} is no name of a directory: it has a NUL byte")
    return f"file://{name.replace('%', '%25')}"
