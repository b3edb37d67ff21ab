"""Where settings come from."""

import os
import re
from pathlib import Path

import pytest

from brainctl.cli.settings import BadValue, read_bool, read_duration, read_int, resolve
from brainctl.errors import BadArguments, InvalidInput

FILE = """
current-context = "lab"

[contexts.lab]
endpoints = ["10.0.0.1:2379", "10.0.0.2:2379"]
write-out = "json"
hex = true

[contexts.bad]
colour = "blue"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "brainctl" / "config.toml"
    path.parent.mkdir()
    path.write_text(FILE)
    return path


def test_the_nearest_source_wins(file: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(file.parent.parent)}
    assert resolve({}, {}).write_out == "simple"
    assert resolve({}, home).write_out == "json"
    assert resolve({}, {**home, "ETCDCTL_WRITE_OUT": "fields"}).write_out == "fields"
    both = {**home, "ETCDCTL_WRITE_OUT": "fields", "BRAINCTL_WRITE_OUT": "table"}
    assert resolve({}, both).write_out == "table"
    assert resolve({"write_out": "simple"}, both).write_out == "simple"


def test_a_context_sets_lists_and_truths(file: Path) -> None:
    settings = resolve({}, {"BRAINCTL_CONFIG": str(file)})
    assert settings.endpoints == ("10.0.0.1:2379", "10.0.0.2:2379")
    assert settings.hex
    assert not resolve({"hex": False}, {"BRAINCTL_CONFIG": str(file)}).hex


@pytest.mark.parametrize("name", ["bad", "missing"])
def test_a_context_that_cannot_be_used_is_refused(file: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=name if name == "missing" else "colour"):
        resolve({"context": name}, {"BRAINCTL_CONFIG": str(file)})


BAD = {
    "no TOML": "[contexts",
    "no text": "\udcff",
    "no such context": 'current-context = "none"',
    "no name": "current-context = 1",
    "no tables": 'contexts = 1\ncurrent-context = "lab"',
    "an unknown flag": 'current-context = "lab"\n[contexts.lab]\ncolour = "blue"',
    "no value": 'current-context = "lab"\n[contexts.lab]\nendpoints = {a = 1}',
    "no duration": 'current-context = "lab"\n[contexts.lab]\ndial-timeout = "5"',
    "no truth": 'current-context = "lab"\n[contexts.lab]\nhex = "maybe"',
    "no number": 'current-context = "lab"\n[contexts.lab]\nmax-recv-bytes = 1.5',
    "no format": 'current-context = "lab"\n[contexts.lab]\nwrite-out = "yaml"',
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_by_what_needs_it(file: Path, kind: str) -> None:
    file.write_bytes(os.fsencode(BAD[kind]))
    environ = {"BRAINCTL_CONFIG": str(file)}
    settings = resolve({}, environ)
    for needed in ("endpoints", "store"):
        with pytest.raises(InvalidInput, match=re.escape(str(file))):
            getattr(settings, needed)
    for given in ({"endpoints": "a:1"}, {"store": "file:///x"}, {"discovery_srv": "example"}):
        settings = resolve(given, environ)
        assert settings.endpoints
        assert str(file) in settings.warning
    with pytest.raises(InvalidInput, match=re.escape(str(file))):
        resolve({"endpoints": "a:1", "context": "lab"}, environ)


def test_a_file_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        _ = resolve({}, {"BRAINCTL_CONFIG": str(tmp_path / "none")}).endpoints
    for empty in ({"BRAINCTL_CONFIG": os.devnull}, {"XDG_CONFIG_HOME": str(tmp_path)}, {"HOME": os.devnull}, {}):
        assert resolve({}, empty).endpoints == ("127.0.0.1:2379",)


SECOND = """
current-context = "lab"
[contexts.lab]
endpoints = ["lab:1"]
user = "laboratory"
password = "of-the-lab"
cacert = "lab.crt"
cert = "lab.pem"
key = "lab.key"
write-out = "fields"
[contexts.there]
store = "tikv://pd/there"
dial-timeout = "7s"
[contexts.token]
auth-jwt-token = "of-the-lab"
"""
ELSEWHERE = {
    "ETCDCTL_ENDPOINTS": "elsewhere:1",
    "ETCDCTL_USER": "somebody",
    "ETCDCTL_PASSWORD": "of-somebody",
    "ETCDCTL_CACERT": "elsewhere.crt",
    "ETCDCTL_INSECURE_SKIP_TLS_VERIFY": "true",
    "ETCDCTL_WRITE_OUT": "json",
    "ETCDCTL_DIAL_TIMEOUT": "9s",
}


@pytest.fixture
def second(file: Path) -> dict[str, str]:
    file.write_text(SECOND)
    return {"BRAINCTL_CONFIG": str(file)}


def test_a_typed_context_wins_whole(second: dict[str, str]) -> None:
    ours = {name.replace("ETCDCTL", "BRAINCTL"): value for name, value in ELSEWHERE.items()}
    for environ in ({**second, **ELSEWHERE}, {**second, **ours}):
        lab = resolve({"context": "lab"}, environ)
        assert (lab.endpoints, lab.user, lab.password, lab.cacert) == (
            ("lab:1",),
            "laboratory",
            "of-the-lab",
            "lab.crt",
        )
        assert not lab.insecure_skip_tls_verify
        assert (lab.write_out, lab.dial_timeout) == ("fields", 9), "how it is shown comes from whoever says it"
        there = resolve({"context": "there"}, environ)
        assert (there.store, there.user, there.password, there.cacert) == ("tikv://pd/there", "", "", "")
        assert (there.write_out, there.dial_timeout) == ("json", 7)


def test_a_context_of_the_environment_is_as_strong_as_its_variable(second: dict[str, str]) -> None:
    environ = {**second, **ELSEWHERE, "BRAINCTL_CONTEXT": "there"}
    assert resolve({}, environ).store == "tikv://pd/there"
    assert resolve({}, environ).user == ""
    assert resolve({}, environ | {"BRAINCTL_ENDPOINTS": "b:1"}).store == "", (
        "a variable of the same kind is typed later"
    )
    assert resolve({}, environ | {"BRAINCTL_ENDPOINTS": "b:1"}).endpoints == ("b:1",)
    assert resolve({"context": "lab"}, environ).endpoints == ("lab:1",)


def test_the_files_own_context_is_the_weakest(second: dict[str, str]) -> None:
    settings = resolve({}, {**second, **ELSEWHERE})
    assert settings.endpoints == ("elsewhere:1",)
    assert (settings.user, settings.password) == ("somebody", "of-somebody")


def test_typed_flags_win_over_the_typed_context(second: dict[str, str]) -> None:
    environ = {**second, **ELSEWHERE}
    assert resolve({"context": "lab", "endpoints": "typed:1"}, environ).endpoints == ("typed:1",)
    assert resolve({"context": "there", "endpoints": "typed:1"}, environ).store == ""
    assert resolve({"context": "there", "store": "file:///x"}, environ).store == "file:///x"
    assert resolve({"context": "lab", "user": "typed:word"}, environ).password == "", "it is another's password"
    assert resolve({"context": "lab", "password": "typed"}, environ).user == "laboratory"
    assert resolve({"context": "lab", "cert": "typed.pem"}, environ).key == "", "it is another's key"
    assert resolve({"context": "token", "user": "typed"}, environ).auth_jwt_token == ""
    assert resolve({"user": "typed"}, ELSEWHERE).password == "of-somebody", "as in etcdctl"


def test_endpoints_that_are_named_nearer_hide_a_store() -> None:
    environ = {"ETCDCTL_STORE": "file:///x", "ETCDCTL_ENDPOINTS": "a:1"}
    assert resolve({}, environ).store == "file:///x"
    assert resolve({"endpoints": "typed:1"}, environ).store == ""
    assert resolve({}, environ | {"BRAINCTL_ENDPOINTS": "b:1"}).store == ""
    assert resolve({"discovery_srv": "example"}, environ).store == ""


def test_endpoints_are_trimmed() -> None:
    assert resolve({"endpoints": "a:1, b:2 "}, {}).endpoints == ("a:1", "b:2")


@pytest.mark.parametrize("name", ["cert", "key", "cacert"])
def test_an_empty_certificate_is_refused(name: str) -> None:
    with pytest.raises(BadArguments, match=f"--{name}"):
        resolve({name: ""}, {})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2s", 2), ("1m30s", 90), ("1.5h", 5400), ("100ms", 0.1), ("0", 0), ("-1s", -1), ("1us", 1e-6), ("2µs", 2e-6)],
)
def test_durations(text: str, seconds: float) -> None:
    assert read_duration(text, "--x") == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5", 'missing unit in duration "5"'),
        ("abc", 'invalid duration "abc"'),
        ("", 'invalid duration ""'),
        ("5x", 'unknown unit "x" in duration "5x"'),
        ("1s 2s", 'invalid duration "1s 2s"'),
    ],
)
def test_durations_that_are_none(text: str, reason: str) -> None:
    with pytest.raises(BadValue) as raised:
        read_duration(text, "--x")
    assert str(raised.value) == f'invalid argument "{text}" for "--x" flag: time: {reason}'


def test_numbers_and_truths() -> None:
    assert read_int("0x10", "--x") == 16
    assert read_int("-5", "--x") == -5
    assert read_bool("T", "--x")
    assert not read_bool("0", "--x")
    for bad in ("", "1.5", "9223372036854775808", "zwei"):
        with pytest.raises(BadValue):
            read_int(bad, "--x")
    with pytest.raises(BadValue):
        read_bool("yes", "--x")
