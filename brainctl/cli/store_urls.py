"""Stores named by --from and --to: a URL, or just the kind of store, whose address is given elsewhere."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from brainctl.cli.session import Session
from brainctl.client.failure import CommandFailed
from brainctl.errors import COMPACTED, ApiError, BadArguments, ExitCode
from brainctl.stores.schemes import BY_SPELLING, ETCD, SNAPSHOT, TIKV, Can, Scheme, forms
from brainctl.stores.urls import canonical, directory_of, of_path

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

    A URL means itself, and the name of a file the snapshot in it. A kind of store alone is completed: `etcd` by
    --endpoints or the context's store, `tikv` by --pd and --tikv-prefix, their variables, or the context's store.

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
    if "://" in named:
        return named
    if named in BY_SPELLING:
        url = _configured(session, BY_SPELLING[named], pd, prefix)
        if url:
            return url
        wanted = BY_SPELLING[named].form
        also = "Give --pd HOST:PORT, set BRAINCTL_TIKV_PD, or use" if named == TIKV.name else "Use"
        raise BadArguments(f"{flag} {named}: where? {also} {wanted}")
    if os.path.isfile(named):  # noqa: PTH113 - pathlib takes longer to load
        return of_path(SNAPSHOT, named)
    raise BadArguments(f"{flag} {named!r} is no store: {ETCD.name}, {TIKV.name}, {forms(Can.SOURCE)} are")


def _configured(session: Session, scheme: Scheme, pd: str, prefix: str) -> str:
    """Return the URL of the store of a kind that flags, variables or the context name; "" when none does."""
    configured = session.settings.store
    pd = pd or os.environ.get("BRAINCTL_TIKV_PD", "")
    if scheme is TIKV and pd:
        return f"tikv://{pd}/{prefix or os.environ.get('BRAINCTL_TIKV_PREFIX', 'brainctl')}"
    if scheme in (ETCD, TIKV) and configured.startswith(f"{scheme.name}://"):
        return configured
    return "etcd://" + ",".join(_hosts(session)) if scheme is ETCD else ""


def must_exist(url: str) -> None:
    """Check that `url`, when it is a directory, has a store: one that is only read must not be made.

    Raises:
        InvalidInput: the directory has no store.
    """
    directory = directory_of(url)
    if directory is not None:
        from brainctl.engine.recovery.store_directory import must_be_store

        must_be_store(directory)


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
