"""Requests for the paths under /debug/ of a server of brainctl, which answers them to its own machine only."""

import json
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from brainctl.cli.session import Session
from brainctl.cli.tls import context
from brainctl.client.failure import CommandFailed
from brainctl.errors import ExitCode
from brainctl.stores.schemes import Can
from brainctl.stores.urls import parse

TIMEOUT_SECONDS = 5


def fetch(
    session: Session, endpoint: str, path: str, method: str = "GET", seconds: float = TIMEOUT_SECONDS
) -> dict[str, object]:
    """Return the JSON object at a path under /debug/ of a server.

    Raises:
        CommandFailed: the server cannot be reached, answers with an error, or is not brainctl.
    """
    from brainctl.stores.etcd.target import split_endpoint

    address, secure = split_endpoint(endpoint, session.target().tls)
    connection = (
        HTTPSConnection(address, timeout=seconds, context=context(session.settings))
        if secure
        else HTTPConnection(address, timeout=seconds)
    )
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, HTTPException) as error:
        raise CommandFailed(f"{endpoint} could not be asked: {error}", ExitCode.CONNECTION) from error
    finally:
        connection.close()
    if response.status != 200:
        raise CommandFailed(f"{endpoint} answers {response.status}: {body.decode(errors='replace').strip()}")
    try:
        found: dict[str, object] = json.loads(body)
    except ValueError:
        raise CommandFailed(f"{endpoint} is no server of brainctl") from None
    return found


def served_at(session: Session, url: str) -> str:
    """Return the endpoint at which the store at `url` is served; "" when no server of this machine is known to hold it.

    An empty `url` means the first endpoint of the settings.

    Raises:
        InvalidInput: it is no URL of a store.
    """
    from brainctl.engine.vfs.directory_lock import holder
    from brainctl.engine.vfs.filesystem import OsFileSystem

    if not url:
        return session.settings.endpoints[0]
    found = parse(url)
    if found.scheme.is_server:
        return next(iter(found.endpoints), "")
    if not found.can(Can.FILES) or not found.path.is_dir():
        return ""
    held = holder(str(found.path), OsFileSystem())
    return held.endpoint if held is not None else ""
