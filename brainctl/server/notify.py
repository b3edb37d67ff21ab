"""Telling systemd what state a service is in (sd_notify): one datagram to the socket that NOTIFY_SOCKET names."""

import logging
import os
import socket

from brainctl.log import Fact

_log = logging.getLogger(__name__)


def notify(state: str) -> None:
    """Send a line such as READY=1, if the service manager wants it; a socket that cannot be reached is only logged."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as outlet:
            outlet.sendto(state.encode(), address)
    except OSError as error:
        _log.warning(Fact("systemd cannot be notified", state=state, error=error))
