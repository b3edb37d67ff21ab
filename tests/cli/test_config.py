"""Where settings come from."""

from pathlib import Path

import pytest

from brainctl.config import BadValue, read_bool, read_duration, read_int, resolve
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


def test_a_broken_file_is_refused(file: Path) -> None:
    file.write_text("[contexts")
    with pytest.raises(InvalidInput, match="cannot read"):
        resolve({}, {"BRAINCTL_CONFIG": str(file)})


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
