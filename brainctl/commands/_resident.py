"""How much memory a server takes, from its metrics."""

from urllib.error import URLError
from urllib.request import urlopen

from brainctl.commands._failure import CommandFailed
from brainctl.commands._tls import context
from brainctl.config import Settings

_NAME = "process_resident_memory_bytes"
_TIMEOUT_SECONDS = 10.0


def resident_bytes(endpoint: str, settings: Settings) -> float:
    """The resident memory of the server at `endpoint`; CommandFailed when its metrics do not say it."""
    scheme, separator, _ = endpoint.partition("://")
    is_tls = bool(settings.cert or settings.cacert) or not settings.insecure_transport
    url = endpoint if separator else f"{'https' if is_tls else 'http'}://{endpoint}"
    if separator and scheme not in ("http", "https"):
        raise CommandFailed(f"there are no metrics at {endpoint}")
    try:
        with urlopen(  # noqa: S310 - the scheme was looked at
            f"{url.rstrip('/')}/metrics",
            timeout=_TIMEOUT_SECONDS,
            context=context(settings) if url.startswith("https://") else None,
        ) as answer:
            lines = answer.read().decode(errors="replace").splitlines()
    except (URLError, OSError) as error:
        raise CommandFailed(f"fetch error: {error}") from error
    for line in lines:
        name, _, value = line.partition(" ")
        if name == _NAME:
            return float(value)
    raise CommandFailed(f"could not find: {_NAME}")
