"""Stores named by --from and --to: a URL, or just the kind of store, whose address is given elsewhere."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote

import typer

from brainctl.cli.session import Session
from brainctl.client.failure import CommandFailed
from brainctl.errors import COMPACTED, ApiError, BadArguments, ExitCode
from brainctl.stores.urls import canonical

Pd = Annotated[
    str,
    typer.Option(
        "--pd", metavar="HOST:PORT[,...]", help="Placement Driver of the cluster that `tikv` means [$BRAINCTL_TIKV_PD]"
    ),
]
TikvPrefix = Annotated[
    str,
    typer.Option(
        "--tikv-prefix",
        metavar="string",
        help="key prefix of the store that `tikv` means [$BRAINCTL_TIKV_PREFIX, brainctl]",
    ),
]


def place(session: Session, named: str, flag: str, pd: str, prefix: str) -> str:
    """Return the URL of the store that `named` means.

    A URL means itself. A kind of store alone is completed: `etcd` by --endpoints or the context's store, `tikv` by --pd
    and --tikv-prefix, their variables, or the context's store.

    Args:
        session: the settings.
        named: a URL or a kind of store.
        flag: the flag that named it, for the error.
        pd: the value of --pd.
        prefix: the value of --tikv-prefix.

    Raises:
        BadArguments: the address is missing, or there is no such kind.
    """
    named = canonical(named)
    scheme, separator, _ = named.partition("://")
    if separator:
        return named
    configured = session.settings.store
    if scheme == "etcd":
        return configured if configured.startswith("etcd://") else "etcd://" + ",".join(_hosts(session))
    if scheme == "tikv":
        pd = pd or os.environ.get("BRAINCTL_TIKV_PD", "")
        if pd:
            return f"tikv://{pd}/{prefix or os.environ.get('BRAINCTL_TIKV_PREFIX', 'brainctl')}"
        if configured.startswith("tikv://"):
            return configured
        raise BadArguments(
            f"{flag} tikv: where? Give --pd HOST:PORT, set BRAINCTL_TIKV_PD, or use tikv://HOST:PORT/PREFIX"
        )
    if scheme == "file":
        raise BadArguments(f"{flag} file: where? Use file://DIR")
    raise BadArguments(
        f"{flag} {named!r} is no store: etcd, tikv, etcd://HOST:PORT, tikv://PD/PREFIX and file://DIR are"
    )


def must_exist(url: str) -> None:
    """Check that `url`, when it is a directory, has a store: one that is only read must not be made.

    Raises:
        InvalidInput: the directory has no store.
    """
    scheme, _, directory = url.partition("://")
    if scheme == "file":
        from brainctl.engine.recovery.store_directory import must_be_store

        must_be_store(Path(unquote(directory)))


@contextmanager
def compacted(meaning: Callable[[], str]) -> Iterator[None]:
    """Say what it means when a revision that is needed is compacted; a failure with an exit code of its own."""
    try:
        yield
    except ApiError as error:
        if error.status != COMPACTED:
            raise
        raise CommandFailed(f"{meaning()}: {error}", ExitCode.COMPACTED) from error


def _hosts(session: Session) -> list[str]:
    """Return the endpoints without the scheme etcd://; other schemes stay."""
    return [endpoint.removeprefix("etcd://") for endpoint in session.settings.endpoints]
