"""--discovery-srv and --insecure-skip-tls-verify."""

import datetime as dt
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from brainctl.errors import BrainctlError
from brainctl.stores.etcd import discovery
from tests.conftest import NewBrainctl
from tests.peers.certificates import Authority
from tests.peers.servers import brainctl
from tests.unit.wire.test_dns import record, reply

SERVICES = {
    b"_etcd-client-ssl": [record(0, 0, 2379, b"\1s\7example\0")],
    b"_etcd-client": [record(9, 0, 3, b"\1c\0"), record(1, 1, 1, b"\1a\0"), record(1, 5, 2, b"\1b\0")],
    b"_etcd-client-two": [record(0, 0, 7, b"\3two\0")],
}


@pytest.fixture(params=[False, True], ids=["udp", "tcp"])
def name_server(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """A name server; over UDP it has room for nothing when the parameter says so."""
    truncates = bool(request.param)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.create_server(("127.0.0.1", 0)) as stream,
    ):
        address = stream.getsockname()
        datagrams.bind(address)

        def answered(question: bytes, *, cut: bool) -> bytes:
            name = question[13 : 13 + question[12]]
            records = SERVICES.get(name, []) if b"example" in question else []
            return (
                reply(question, *records, flags=0x8380)
                if cut
                else reply(question, *records, flags=0x8180 if records else 0x8183)
            )

        def over_udp() -> None:
            while (asked := datagrams.recvfrom(4096))[0]:
                datagrams.sendto(answered(asked[0], cut=truncates), asked[1])

        def over_tcp() -> None:
            while True:
                connection, _ = stream.accept()
                with connection:
                    question = connection.recv(4096)
                    if not question:
                        return
                    found = answered(question[2:], cut=False)
                    connection.sendall(len(found).to_bytes(2) + found)

        threads = [threading.Thread(target=serve) for serve in (over_udp, over_tcp)]
        for thread in threads:
            thread.start()
        yield address
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", address)
        socket.create_connection(address).close()
        for thread in threads:
            thread.join()


def test_endpoints_come_by_scheme_and_priority(name_server: tuple[str, int]) -> None:
    found = discovery.endpoints("example", "", [name_server])
    assert found == ["https://s.example:2379", "http://b:2", "http://a:1", "http://c:3"]
    assert discovery.endpoints("example", "two", [name_server]) == ["http://two:7"]


def test_a_domain_without_any_is_said_to_have_none(name_server: tuple[str, int]) -> None:
    with pytest.raises(BrainctlError, match=r"no such host and .*_etcd-client._tcp.elsewhere: no such host"):
        discovery.endpoints("elsewhere", "", [name_server])


def test_the_command_says_so_too() -> None:
    done = brainctl("get", "a", "--discovery-srv", "x" * 70)
    assert (done.returncode, done.stdout) == (1, "")
    assert "error querying DNS SRV records for _etcd-client-ssl._tcp." in done.stderr


def test_a_server_may_be_believed_whatever_its_certificate_says(tmp_path: Path, new_brainctl: NewBrainctl) -> None:
    cert, key = Authority(tmp_path, "authority").issue("server", until=dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
    server = new_brainctl(f"--cert-file={cert}", f"--key-file={key}")
    command = ["--endpoints", f"https://127.0.0.1:{server.port}"]
    assert brainctl(*command, "put", "a", "b").returncode == 2
    for words in (("put", "a", "b"), ("get", "a"), ("endpoint", "health"), ("txn",)):
        done = brainctl(*command, "--insecure-skip-tls-verify", *words, stdin="\n\nget a\n\n")
        assert (done.returncode, done.stderr) == (0, ""), words
    server.stop()
    refused = brainctl(*command, "--insecure-skip-tls-verify", "get", "a")
    assert refused.returncode == 2
    assert "nobody listens there" in refused.stderr
