"""make-mirror, from a real etcd into another and into a directory of brainctl's own."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.peers.servers import Brainctl, Etcd, brainctl, brainctl_argv, clean_environment, etcdctl


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Etcd]:
    with Etcd(tmp_path / "source") as server:
        yield server


@pytest.fixture(params=[Etcd, Brainctl], ids=["etcd", "serve"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Etcd | Brainctl]:
    with request.param(tmp_path / "target") as server:
        yield server


@pytest.fixture
def start(source: Etcd) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start make-mirror from the source; it is killed at the end if it still runs."""
    started: list[subprocess.Popen[str]] = []

    def run(*argv: str) -> subprocess.Popen[str]:
        command = [*brainctl_argv(), "--endpoints", source.endpoint, "make-mirror", *argv]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def content(endpoint: str) -> dict[str, str]:
    lines = etcdctl(endpoint, "get", "", "--prefix").stdout.splitlines()
    return dict(zip(lines[::2], lines[1::2], strict=True))


def wait_until(endpoint: str, expected: dict[str, str]) -> None:
    deadline = time.monotonic() + 120
    while content(endpoint) != expected:
        assert time.monotonic() < deadline, content(endpoint)


def put(server: Etcd, **pairs: str) -> None:
    for key, value in pairs.items():
        assert etcdctl(server.endpoint, "put", key, value).returncode == 0


def test_keys_are_copied_and_followed(
    source: Etcd, target: Etcd | Brainctl, start: Callable[..., subprocess.Popen[str]]
) -> None:
    put(source, a="1", b="2")
    mirror = start(target.endpoint, "--max-txn-ops", "2")
    wait_until(target.endpoint, {"a": "1", "b": "2"})
    etcdctl(source.endpoint, "del", "a")
    etcdctl(source.endpoint, "txn", stdin="\nput c 3\nput d 4\nput e 5\ndel b\n\n\n")
    wait_until(target.endpoint, {"c": "3", "d": "4", "e": "5"})
    source.stop()
    source.start()
    put(source, f="6")
    wait_until(target.endpoint, {"c": "3", "d": "4", "e": "5", "f": "6"})
    target.stop()
    put(source, g="7")
    target.start()
    wait_until(target.endpoint, {"c": "3", "d": "4", "e": "5", "f": "6", "g": "7"})
    mirror.send_signal(signal.SIGINT)
    mirror.communicate(timeout=120)
    assert mirror.returncode == 130


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ((), ("p/x", "p/y")),
        (("--no-dest-prefix",), ("x", "y")),
        (("--dest-prefix", "q/"), ("q/x", "q/y")),
    ],
)
@pytest.mark.parametrize("rev", ["0", "2"])
def test_prefixes(
    source: Etcd,
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[str]],
    flags: tuple[str, ...],
    names: tuple[str, str],
    rev: str,
) -> None:
    put(source, **{"p/x": "1", "other": "2"})
    with Etcd(tmp_path / "copy") as copy:
        start(copy.endpoint, "--prefix", "p/", "--rev", rev, *flags)
        wait_until(copy.endpoint, {names[0]: "1"})
        put(source, **{"p/y": "3"})
        wait_until(copy.endpoint, {names[0]: "1", names[1]: "3"})


def test_a_compacted_history_is_told(source: Etcd, tmp_path: Path) -> None:
    put(source, a="1", b="2", c="3")
    etcdctl(source.endpoint, "compaction", "4")
    target = f"file://{tmp_path / 'data'}"
    done = brainctl("--endpoints", source.endpoint, "make-mirror", target, "--rev", "2")
    assert done.returncode == 8
    assert "brainctl migrate" in done.stderr


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "make-mirror takes one destination argument"),
        (("a", "b"), "make-mirror takes one destination argument"),
        (
            ("a", "--dest-prefix", "x", "--no-dest-prefix"),
            "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one",
        ),
    ],
)
def test_mistakes(argv: tuple[str, ...], message: str) -> None:
    done = brainctl("make-mirror", *argv)
    assert (done.returncode, done.stderr) == (128, f"Error: {message}\n")
