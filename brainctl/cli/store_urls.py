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
    typer.Option("--pd", metavar="HOST:PORT[,...]", help="where `tikv` is: its Placement Driver [$BRAINCTL_TIKV_PD]"),
]
TikvPrefix = Annotated[
    str,
    typer.Option("--tikv-prefix", metavar="string", help="the key prefix in `tikv` [$BRAINCTL_TIKV_PREFIX, brainctl]"),
]


def place(session: Session, named: str, flag: str, pd: str, prefix: str) -> str:
    """The URL that `named` means; a kind of store is found by its flags, variables, or the context's store.

    `etcd` is --endpoints; `tikv` is --pd and --tikv-prefix. BadArguments when the address is missing.
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
    """InvalidInput when `url` is a directory without a store: one that is only read is not to be made."""
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
    """The endpoints; those with a scheme of their own keep it."""
    return [endpoint.removeprefix("etcd://") for endpoint in session.settings.endpoints]
