"""The pages under /debug/ of a server of brainctl, which it shows to its own machine only, over loopback."""

import json
import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from brainctl.commands._failure import CommandFailed
from brainctl.errors import ExitCode
from brainctl.session import Session

PAGE_SECONDS = 5


def fetch(session: Session, endpoint: str, path: str, method: str = "GET") -> dict[str, object]:
    """What the page says. CommandFailed, with the server's reason, when it says nothing, or cannot be reached."""
    from brainctl.stores.target import split_endpoint

    address, secure = split_endpoint(endpoint, session.target().tls)
    connection = (
        HTTPSConnection(address, timeout=PAGE_SECONDS, context=_tls(session))
        if secure
        else HTTPConnection(address, timeout=PAGE_SECONDS)
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


def _tls(session: Session) -> ssl.SSLContext:
    settings = session.settings
    context = ssl.create_default_context(cafile=settings.cacert or None)
    if settings.cert:
        context.load_cert_chain(settings.cert, settings.key)
    return context
