"""brainctl as a client of a server with TLS, certificates asked for both ways."""

from pathlib import Path

import pytest

from tests.conftest import NewBrainctl
from tests.peers.servers import Brainctl, Etcd, brainctl
from tests.unit.server.test_tls import Authority


@pytest.fixture
def endpoint(tmp_path: Path, new_brainctl: NewBrainctl) -> str:
    authority = Authority(tmp_path, "authority")
    cert, key = authority.issue("server")
    authority.issue("client")
    flags = ["--cert-file", str(cert), "--key-file", str(key)]
    server = new_brainctl(*flags, "--trusted-ca-file", str(authority.file), "--client-cert-auth")
    return f"localhost:{server.port}"


def flags(directory: Path, *names: str) -> list[str]:
    files = {"cacert": "authority.crt", "cert": "client.crt", "key": "client.key"}
    return [f"--{name}={directory / files[name]}" for name in names]


def test_with_certificates_both_ways(tmp_path: Path, endpoint: str) -> None:
    everything = flags(tmp_path, "cacert", "cert", "key")
    for address in (f"https://{endpoint}", endpoint):
        assert brainctl("--endpoints", address, *everything, "put", "tls", "1").stdout == "OK\n"


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["cacert"], 2),  # the server wants a certificate
        (["cert", "key"], 2),  # nobody vouches for the server
        (["cacert", "cert"], 128),  # a certificate needs its key
    ],
)
def test_without_one_of_them(tmp_path: Path, endpoint: str, names: list[str], code: int) -> None:
    done = brainctl("--endpoints", f"https://{endpoint}", *flags(tmp_path, *names), "get", "tls")
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def test_plain_text_gets_nowhere(endpoint: str) -> None:
    done = brainctl("--endpoints", f"http://{endpoint}", "get", "tls")
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: cannot connect to http://{endpoint}: ")


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_without_cacert_the_authorities_of_the_system_are_asked(
    tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every kind of command: requests, pages, migrations, and the comparison of two stores."""
    authority = Authority(tmp_path, "authority")
    directory = tmp_path / "certs"
    directory.mkdir()
    with (
        Etcd(tmp_path / "etcd", authority=authority) as source,
        Brainctl(tmp_path / "brainctl", authority=authority) as server,
    ):
        stores = ["--from", f"etcd://localhost:{source.port}", "--to", f"file://{tmp_path / 'target'}"]
        commands = [
            ["--endpoints", f"https://localhost:{source.port}", "put", "k", "v"],
            ["--endpoints", f"https://localhost:{server.port}", "store", "scrub"],
            ["--insecure-transport=false", "migrate", *stores],
            ["--insecure-transport=false", "verify", *stores],
        ]
        assert brainctl(*commands[0]).returncode == 2, "control: nobody vouches for the server"
        (directory / "authority").write_bytes(authority.file.read_bytes())
        monkeypatch.setenv(variable, str(authority.file if variable == "SSL_CERT_FILE" else directory))
        for argv in commands:
            done = brainctl(*argv)
            assert done.returncode == 0, (argv, done.stderr)
