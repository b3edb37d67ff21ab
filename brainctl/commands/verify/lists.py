"""The file of --export: complete and durable under its name, or not there."""

import os
from pathlib import Path

from brainctl.errors import NotEmpty
from brainctl.verify.exported import Written, export
from brainctl.verify.scope import Scope
from brainctl.verify.side import Side


async def write_list(side: Side, scope: Scope, name: str) -> Written:
    """Write the list of a side, durably.

    Raises:
        NotEmpty: There is a file of this name.
        OSError: It cannot be written.
    """
    path = Path(name)
    part = path.with_name(f"{path.name}.part")
    _must_be_free(path)
    try:
        with part.open("wb") as file:
            written = await export(side, scope, file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return written


def _must_be_free(path: Path) -> None:
    """Check that there is no file at `path`.

    Raises:
        NotEmpty: There is one.
    """
    if path.exists():
        raise NotEmpty(f"there is a file {path} already").advised("choose another name, or remove it")
