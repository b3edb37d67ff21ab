"""Which authorities a server is verified with when none are named."""

from pathlib import Path

import pytest

from brainctl.errors import InvalidInput
from brainctl.stores.etcd import authorities
from brainctl.stores.etcd.authorities import system_authorities


def block(name: str) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + name.encode() + b"\n-----END CERTIFICATE-----"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system whose usual file has "usual", and whose usual directory has that and "added"."""
    directory = tmp_path / "certs"
    directory.mkdir()
    bundle = tmp_path / "bundle"
    bundle.write_bytes(b"# comment\n" + block("usual") + b"\n")
    (directory / "1").write_bytes(block("usual"))
    (directory / "2").write_bytes(block("added"))
    (directory / "3").symlink_to(directory / "2")
    (directory / "4").symlink_to(directory / "nothing")
    monkeypatch.setattr(authorities, "_FILES", (str(tmp_path / "absent"), str(bundle), str(directory / "2")))
    monkeypatch.setattr(authorities, "_DIRECTORIES", (str(directory), str(tmp_path / "absent")))
    (tmp_path / "named").write_bytes(block("named") + block("second"))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a").write_bytes(block("own"))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "directories", "names"),
    [
        ("", "", ["usual"]),
        ("named", "", ["named", "second", "usual", "added"]),
        ("", "own", ["usual", "own"]),
        ("named", "absent:own", ["named", "second", "own"]),
        ("absent", "", ["usual", "added"]),
        ("absent", "absent", None),
    ],
)
def test_the_same_authorities_as_a_program_of_go(
    system: Path, file: str, directories: str, names: list[str] | None
) -> None:
    environ = {
        "SSL_CERT_FILE": str(system / file) if file else "",
        "SSL_CERT_DIR": ":".join(str(system / each) for each in directories.split(":")) if directories else "",
    }
    if names is None:
        with pytest.raises(InvalidInput, match="--cacert"):
            system_authorities(environ)
    else:
        assert system_authorities(environ) == b"\n".join(map(block, names)) + b"\n"


@pytest.mark.usefixtures("system")
def test_a_directory_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorities, "_FILES", ())
    assert system_authorities({}) == b"\n".join([block("usual"), block("added")]) + b"\n"
