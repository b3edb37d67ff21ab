"""How much memory a server takes, from its metrics."""

import os
from urllib.error import URLError
from urllib.request import BaseHandler, HTTPSHandler, ProxyHandler, build_opener

from brainctl.cli.settings import Settings
from brainctl.cli.tls import context
from brainctl.client.failure import CommandFailed
from brainctl.stores.etcd.proxy import proxy_of
from brainctl.stores.etcd.target import Tls, split_endpoint

_NAME = "process_resident_memory_bytes"
_TIMEOUT_SECONDS = 10.0


def resident_bytes(endpoint: str, settings: Settings) -> float:
    """Return the resident memory of the server at `endpoint` in bytes, from its /metrics.

    Raises:
        CommandFailed: the metrics cannot be fetched, or do not have it.
    """
    tls = Tls(settings.cert, settings.key, settings.cacert, required=not settings.insecure_transport)
    address, secure = split_endpoint(endpoint, tls)
    if address.startswith("unix:"):
        raise CommandFailed(f"there are no metrics at {endpoint}")
    host, _, port = address.rpartition(":")
    proxy = proxy_of(host.strip("[]"), port, os.environ, plain_http=not secure)
    proxies = {} if proxy is None else {"http": proxy.geturl(), "https": proxy.geturl()}
    handlers: list[BaseHandler] = [ProxyHandler(proxies)]
    if secure:
        handlers.append(HTTPSHandler(context=context(settings)))
    url = f"{'https' if secure else 'http'}://{address}/metrics"
    try:
        with build_opener(*handlers).open(url, timeout=_TIMEOUT_SECONDS) as answer:
            lines = answer.read().decode(errors="replace").splitlines()
    except (URLError, OSError) as error:
        raise CommandFailed(f"fetch error: {error}") from error
    for line in lines:
        name, _, value = line.partition(" ")
        if name == _NAME:
            return float(value)
    raise CommandFailed(f"could not find: {_NAME}")
