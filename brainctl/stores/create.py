"""Creation of a new, empty store."""

from pathlib import Path
from urllib.parse import unquote

from brainctl.errors import InvalidInput, NotEmpty

_OTHER = "use it as it is, or choose another place"


async def create_store(url: str) -> None:
    """Create an empty store at `url`, durably: file://DIR or tikv://PD/PREFIX.

    Raises:
        NotEmpty: There is a store already.
        InvalidInput: The directory holds something else, or the URL is of another kind.
        BrainctlError: Opening the store failed.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "file" and rest:
        _create_directory(Path(unquote(rest)))
    elif scheme == "tikv" and rest:
        await _create_tikv(url)
    else:
        raise InvalidInput(f"{url!r} cannot be made: file://DIR and tikv://PD/PREFIX can")


def _create_directory(directory: Path) -> None:
    """Create an empty store in a directory.

    Raises:
        NotEmpty: There is a store already.
    """
    from brainctl.engine.engine import Engine  # noqa: PLC0415
    from brainctl.engine.log import manifest  # noqa: PLC0415 - the engine, only for those who open one

    if (directory / manifest.NAME).exists():
        raise NotEmpty(f"there is a store in {directory} already").advised(_OTHER)
    Engine.open(directory).close()


async def _create_tikv(url: str) -> None:
    """Create an empty store on TiKV, by taking its lead.

    Raises:
        NotEmpty: There is a store already.
    """
    from brainctl.stores.tikv import open_tikv_backend  # noqa: PLC0415 - loads the TiKV client
    from brainctl.tikv.backend import Role  # noqa: PLC0415

    backend = await open_tikv_backend(url, Role.ON_DEMAND)
    try:
        if not backend.is_new:
            raise NotEmpty(f"there is a store at {url} already").advised(_OTHER)
        await backend.writer.acquire(force=False)
    finally:
        await backend.close()
