"""brainctl watch, beside etcdctl's."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

import pytest

from tests.conftest import NewEtcd
from tests.peers import require
from tests.peers.servers import Etcd, brainctl, brainctl_argv, clean_environment, etcdctl

ETCDCTL = "etcdctl"
PROGRAMS = [ETCDCTL, "brainctl"]


def program(name: str) -> list[str]:
    return [str(require(ETCDCTL))] if name == ETCDCTL else brainctl_argv()


@contextmanager
def watching(name: str, etcd: Etcd, *argv: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [*program(name), "--endpoints", etcd.endpoint, "watch", *argv]
    process = subprocess.Popen(
        command,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**clean_environment(), **environment},
    )
    watchdog = Timer(240, process.kill)  # lines that never come are a failure, not a hang
    watchdog.start()
    with process:
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(count)]


def write_some(etcd: Etcd, key: str) -> str:
    """Two puts and a delete; the revision of the first."""
    first = etcdctl(etcd.endpoint, "put", key, "1", "-w", "fields").stdout.split('"Revision" : ')[1].split()[0]
    etcdctl(etcd.endpoint, "put", f"{key}/below", "2")
    etcdctl(etcd.endpoint, "del", key)
    return first


@pytest.mark.parametrize(
    ("argv", "count"),
    [
        (["k", "--prefix"], 9),
        (["--prefix", "k", "--prev-kv"], 11),
        (["k", "--hex"], 6),
        (["k", "kz"], 9),
        (["k", "-w", "fields"], 18),
    ],
)
def test_events_look_the_same(etcd: Etcd, argv: list[str], count: int) -> None:
    revision = write_some(etcd, "k")
    shown = []
    for name in PROGRAMS:
        with watching(name, etcd, *argv, "--rev", revision) as process:
            shown.append(lines(process, count))
    assert shown[0] == shown[1]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_command_sees_each_event(etcd: Etcd, name: str) -> None:
    revision = write_some(etcd, f"exec-{name}")
    script = 'echo "$ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE"'
    with watching(name, etcd, f"exec-{name}", "--rev", revision, "--", "sh", "-c", script) as process:
        shown = lines(process, 8)
    assert [line for line in shown if line.startswith('"')] == [
        f'"PUT" "exec-{name}" "1"\n',
        f'"DELETE" "exec-{name}" ""\n',
    ]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_command_that_fails_ends_it(etcd: Etcd, name: str) -> None:
    revision = write_some(etcd, "failing")
    with watching(name, etcd, "failing", "--rev", revision, "--", "sh", "-c", "exit 3") as process:
        assert process.wait(120) == 1
        assert process.stderr is not None
        assert process.stderr.read() == 'command ["sh" "-c" "exit 3"] error (exit status 3)\n'


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_key_may_come_from_the_environment(etcd: Etcd, name: str) -> None:
    revision = write_some(etcd, "from-env")
    with watching(name, etcd, "--rev", revision, ETCDCTL_WATCH_KEY="from-env") as process:
        assert lines(process, 3) == ["PUT\n", "from-env\n", "1\n"]


@pytest.mark.parametrize(
    ("argv", "environment"),
    [
        ([], {}),
        (["a", "b", "--prefix"], {}),
        (["a", "--"], {}),
        (["a"], {"ETCDCTL_WATCH_KEY": "b"}),
        (["a"], {"ETCDCTL_WATCH_RANGE_END": "b"}),
        (["a", "--", "echo"], {"ETCDCTL_WATCH_KEY": "b"}),
    ],
)
def test_mistakes_look_the_same(etcd: Etcd, argv: list[str], environment: dict[str, str]) -> None:
    found = []
    for name in PROGRAMS:
        with watching(name, etcd, *argv, **environment) as process:
            code = process.wait(120)
            assert process.stderr is not None
            found.append((code, process.stderr.read()))
    assert found[0] == found[1]


def test_a_compacted_revision_ends_it(new_etcd: NewEtcd) -> None:
    etcd = new_etcd()
    write_some(etcd, "old")
    etcdctl(etcd.endpoint, "compaction", "3")
    found = []
    for name in PROGRAMS:
        with watching(name, etcd, "old", "--rev", "1") as process:
            code = process.wait(120)
            assert process.stderr is not None
            found.append((code, [line for line in process.stderr if not line.startswith("{")]))
    assert found[0] == found[1]
    assert found[1][0] == 5


def test_interactive_watches_look_the_same(etcd: Etcd) -> None:
    revision = write_some(etcd, "i")
    found = []
    for name in PROGRAMS:
        with watching(name, etcd, "-i") as process:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(f"nonsense\nwatch\nwatch i --rev {revision} --prev-kv\n")
            process.stdin.flush()
            shown = lines(process, 8)
            process.stdin.write("watch --nonsense\n")
            process.stdin.flush()
            code = process.wait(120)
            complaints = [line for line in process.stderr if not line.startswith("{")]
            found.append((shown, code, complaints[:2], [line for line in complaints if line.startswith("Error")]))
    assert found[0] == found[1]
    assert found[1][1] == 128


def test_the_end_of_the_input_ends_an_interactive_session(etcd: Etcd) -> None:
    done = brainctl("--endpoints", etcd.endpoint, "watch", "-i", stdin="")
    assert (done.returncode, done.stderr) == (3, "Error: error reading watch request line: EOF\n")


def test_no_event_is_lost_or_doubled_when_the_server_restarts(new_etcd: NewEtcd) -> None:
    etcd = new_etcd(fsync=True)
    etcdctl(etcd.endpoint, "put", "r", "0")
    with watching("brainctl", etcd, "r", "--rev", "2") as process:
        assert lines(process, 3)[2] == "0\n"
        etcd.kill()
        etcd.start()
        for value in ("1", "2"):
            etcdctl(etcd.endpoint, "put", "r", value)
        assert lines(process, 6)[2::3] == ["1\n", "2\n"]
