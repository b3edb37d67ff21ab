"""Endpoints from DNS: the service records _etcd-client and _etcd-client-ssl of a domain, as etcdctl looks them up."""

import socket
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from random import Random

from brainctl.errors import BrainctlError, TimedOut
from brainctl.wire import dns

SERVICE = "etcd-client"
SECONDS = 5.0
"""Seconds to wait for an answer of a name server."""
PORT = 53
RESOLVERS = Path("/etc/resolv.conf")
_ANSWER_BYTES = 4096
_NO_SUCH_NAME = 3
"""DNS response code NXDOMAIN."""


def endpoints(domain: str, name: str, servers: Iterable[tuple[str, int]] | None = None) -> list[str]:
    """Return the endpoints of a domain: those with TLS first, each kind by priority. It blocks.

    Args:
        domain: The domain.
        name: Selects one of several clusters of a domain; "" for none.
        servers: The name servers (address, port); None for those of the machine.

    Raises:
        BrainctlError: The domain has none.
        TimedOut: No name server answers.
    """
    servers = list(servers) if servers is not None else _name_servers()
    suffix = f"-{name}" if name else ""
    found: list[str] = []
    failures: list[BrainctlError] = []
    for scheme, service in (("https", f"{SERVICE}-ssl{suffix}"), ("http", f"{SERVICE}{suffix}")):
        try:
            services = _lookup(f"_{service}._tcp.{domain}", servers)
        except BrainctlError as error:
            failures.append(error)
            continue
        services.sort(key=lambda service: (service.priority, -service.weight))
        found += [f"{scheme}://{_bracketed(service.host)}:{service.port}" for service in services]
    if len(failures) == 2:
        kind = TimedOut if any(isinstance(error, TimedOut) for error in failures) else BrainctlError
        raise kind(f"dns lookup errors: {failures[0]} and {failures[1]}")
    return found


def _lookup(name: str, servers: list[tuple[str, int]]) -> list[dns.Service]:
    """Return the service records of a name, from the first name server that answers.

    Raises:
        BrainctlError: There are none, or no server can be asked.
        TimedOut: No server answers.
    """
    reason, late = "there is no name server", False
    for server in servers:
        try:
            answer = _ask(name, server)
        except (OSError, ValueError) as error:
            reason, late = f"{server[0]}: {error}", isinstance(error, TimeoutError)
            continue
        if answer.code == 0 and answer.services:
            return answer.services
        reason = (
            "no such host" if answer.code in (0, _NO_SUCH_NAME) else f"{server[0]}: answers with code {answer.code}"
        )
        late = False
        break
    raise (TimedOut if late else BrainctlError)(f"error querying DNS SRV records for {name}: {reason}")


def _ask(name: str, server: tuple[str, int]) -> dns.Answer:
    """Send one question to a name server over UDP, and over TCP when the answer was truncated."""
    number = Random().getrandbits(16)  # noqa: S311 - it tells answers apart, and keeps nothing secret
    question = dns.question(number, name)
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(SECONDS)
        datagrams.connect(server)
        datagrams.send(question)
        answer = dns.answer(number, datagrams.recv(_ANSWER_BYTES))
    if not answer.truncated:
        return answer
    with socket.create_connection(server, SECONDS) as stream, stream.makefile("rb") as reader:
        stream.sendall(len(question).to_bytes(2) + question)
        return dns.answer(number, reader.read(int.from_bytes(reader.read(2))))


def _name_servers() -> list[tuple[str, int]]:
    try:
        lines = RESOLVERS.read_text().splitlines()
    except OSError:
        lines = []
    words = [line.split() for line in lines]
    return [(line[1], PORT) for line in words if len(line) > 1 and line[0] == "nameserver"] or [("127.0.0.1", PORT)]


def _bracketed(host: str) -> str:
    """Return a host as it is written in a URL: an IPv6 address in brackets."""
    try:
        return f"[{host}]" if ip_address(host).version == 6 else host
    except ValueError:
        return host
