"""URLs of stores, brought into the one form that the rest of the program reads, and their parts."""

import os
from pathlib import Path
from typing import NamedTuple

from brainctl.errors import BrainctlError, InvalidInput
from brainctl.stores.schemes import BY_SPELLING, FILE, Can, Scheme, forms


def canonical(url: str) -> str:
    """Return the URL with its scheme in lower case, and a path as `file://` and its name, with % as %25.

    A directory may be named as in any URL: file:/DIR, file://localhost/DIR, with percent-encoding. file://DIR with a
    relative DIR is one of the working directory, file://~/DIR one of the user's home.

    Raises:
        InvalidInput: The directory's name has a NUL byte.
    """
    scheme, colon, rest = url.strip().partition(":")
    scheme = scheme.lower()
    is_path = scheme in BY_SPELLING and BY_SPELLING[scheme].is_path
    if not colon or (not is_path and not rest.startswith("//")):
        return url
    if not is_path:
        return f"{scheme}:{rest}"
    from urllib.parse import unquote  # noqa: PLC0415 - not for --help

    name = unquote(rest.removeprefix("//"), errors="surrogateescape")
    if rest.lower().startswith("//localhost/"):
        name = name[len("localhost") :]
    if name == "~" or name.startswith("~/"):
        name = os.path.expanduser(name)  # noqa: PTH111 - that of pathlib raises where there is no home
    return of_path(BY_SPELLING[scheme], name)


def of_directory(name: str) -> str:
    """Return the URL of a directory by its name; raise InvalidInput when it has a NUL byte."""
    return of_path(FILE, name)


def of_path(scheme: Scheme, name: str) -> str:
    """Return the URL of a directory or a file by its name.

    Raises:
        InvalidInput: The name has a NUL byte.
    """
    if "\0" in name:
        raise InvalidInput(f"{name!r} is no name of a directory: it has a NUL byte")
    return f"{scheme.name}://{name.replace('%', '%25')}"


class StoreUrl(NamedTuple):
    """A URL of a store, in its canonical form (`urls.canonical`)."""

    text: str
    scheme: Scheme
    spelled: str
    """The scheme as it is written: one of the spellings of `scheme`."""
    rest: str
    """Part behind the "://"."""

    def can(self, what: Can) -> bool:
        """Return whether a store of this scheme can do something."""
        return what in self.scheme.can

    @property
    def path(self) -> Path:
        """Return the directory or the file that a URL of paths names."""
        from urllib.parse import unquote  # noqa: PLC0415 - not for --help

        return Path(unquote(self.rest))

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Return the endpoints that the URL of a scheme of servers names."""
        prefix = "" if self.spelled == self.scheme.name else f"{self.spelled}://"
        return tuple(prefix + part for part in self.rest.split(",") if part.strip("/ "))


def parse(url: str) -> StoreUrl:
    """Return the parts of a URL.

    Raises:
        InvalidInput: It is no URL of a store.
    """
    text = canonical(url)
    spelled, separator, rest = text.partition("://")
    scheme = BY_SPELLING.get(spelled)
    if scheme is None or not separator or not (rest or scheme.is_server):
        raise InvalidInput(f"{url!r} is no store: {forms(Can.OPEN)} are known")
    return StoreUrl(text, scheme, spelled, rest)


def having(what: Can, url: str, error: type[BrainctlError] = InvalidInput) -> StoreUrl:
    """Return the parts of a URL whose scheme can do something.

    Raises:
        InvalidInput: It is no URL of a store.
        BrainctlError: Its scheme cannot do that; the type of the error is `error`.
    """
    found = parse(url)
    if not found.can(what):
        why = f", because {found.scheme.why_not[what]}" if what in found.scheme.why_not else ""
        raise error(f"{url} cannot be {what}{why}: {forms(what)} can")
    return found


def directory_of(url: str) -> Path | None:
    """Return the directory that a URL names; None when it is of another kind, or none."""
    spelled, separator, rest = url.partition("://")
    scheme = BY_SPELLING.get(spelled)
    if scheme is None or not separator or not rest or Can.FILES not in scheme.can:
        return None
    return StoreUrl(url, scheme, spelled, rest).path
