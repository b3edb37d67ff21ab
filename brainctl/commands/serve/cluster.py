"""The node of a server that is one of several which serve one store."""

import os
import socket
from typing import TYPE_CHECKING

from brainctl.errors import BadArguments

if TYPE_CHECKING:
    from brainctl.node.access.tokens import Tokens
    from brainctl.node.backend import Backend
    from brainctl.node.forwarding import Cluster
    from brainctl.server.tls.context import TlsOptions
    from brainctl.stores.driver import Shared
    from brainctl.stores.etcd.peers import PeerCalls

ROLES = ("auto", "leader", "follower")
LEASE_SECONDS = (0.5, 600.0)
"""The shortest and the longest --lead-lease."""
UNNAMED = "default"
"""The name of a server that was given none, as in etcd."""


def role_of(text: str) -> str:
    """Return a role.

    Raises:
        BadArguments: It is none.
    """
    if text not in ROLES:
        raise BadArguments(f"--role: {', '.join(ROLES)} are roles, not {text!r}")
    return text


def lease_of(seconds: float) -> float:
    """Return how long the lead is kept.

    Raises:
        BadArguments: That is too short for the way to TiKV and back, or too long to wait for.
    """
    least, most = LEASE_SECONDS
    if not least <= seconds <= most:
        raise BadArguments(f"--lead-lease: {seconds:g} s is out of bounds, which are {least:g} s to {most:g} s")
    return seconds


def name_of(given: str, listen: str) -> str:
    """Return the name of a server among others: the given one, or else one that no other on this machine has.

    Args:
        given: that of --name.
        listen: the addresses to listen at, with commas between.
    """
    if given != UNNAMED:
        return given
    port = listen.partition(",")[0].rpartition(":")[2].strip("/")
    return f"{socket.gethostname()}-{port if port.isdigit() and int(port) else os.getpid()}"


def peer_calls(tls: "TlsOptions | None", max_bytes: int) -> "PeerCalls":
    """Return the calls of other servers, with the certificates of this one.

    Args:
        tls: how this server serves TLS, None where it does not.
        max_bytes: of the largest message.
    """
    from brainctl.stores.etcd.peers import PeerCalls
    from brainctl.stores.etcd.target import Tls

    return PeerCalls(Tls(tls.cert_file, tls.key_file, tls.trusted_ca_file) if tls else Tls(), max_bytes)


def joined(
    shared: "Shared", backend: "Backend", peers: "PeerCalls", given: "Tokens", ttl_seconds: float
) -> "tuple[Cluster, Tokens]":
    """Return what makes a node one of several, and the tokens that all of them know.

    Args:
        shared: what the servers of the store share.
        backend: the data of the node.
        peers: the calls of the others.
        given: the tokens of this server by its settings.
        ttl_seconds: how long a token is good.
    """
    from brainctl.node.access.signed_tokens import SharedTokens, SignedTokens
    from brainctl.node.forwarding import Cluster

    signed = SignedTokens(shared.secret, shared.now_seconds, backend.record, ttl_seconds)
    return Cluster(shared.membership, shared.leads, shared.follow, peers, signed.assign), SharedTokens(given, signed)
