"""Paths of requests, as clients write them and as they are served."""

import posixpath
from typing import Final

_DIRECTORIES: Final = {"/v3": "/v3/"}
"""Paths that have only others below them."""


def clean_path(path: str) -> str:
    """Return the path that a request is sent to instead, as Go's servers do; the same path when it is clean.

    Clean is a path without empty parts, "." and ".."; base URLs that end with a slash make //v3/kv/range.
    """
    if "//" not in path and "/." not in path:
        return _DIRECTORIES.get(path, path)
    if not path.startswith("/"):
        return path
    clean = "/" + posixpath.normpath(path).strip("/")
    return clean + "/" if path.endswith("/") and clean != "/" else clean
