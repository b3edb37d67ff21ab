"""lock and elect: brainctl and etcdctl wait for each other, on etcd and on brainctl serve."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from tests.peers import require
from tests.peers.servers import Brainctl, Etcd, brainctl_argv, clean_environment, etcdctl

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module", params=[Etcd, Brainctl], ids=["etcd", "serve"])
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with request.param(tmp_path_factory.mktemp("server")) as server:
        yield server.endpoint


@pytest.fixture
def start(endpoint: str) -> Iterator[Start]:
    """Start a program on the endpoint; it is killed at the end of the test if it still runs."""
    with ExitStack() as stack:

        def run(program: Sequence[str], *argv: str) -> subprocess.Popen[str]:
            pipe = subprocess.PIPE
            command = [*program, "--endpoints", endpoint, *argv]
            process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=clean_environment())
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield run


def ours() -> list[str]:
    return brainctl_argv()


def theirs() -> list[str]:
    return [str(require("etcdctl"))]


def line(process: subprocess.Popen[str]) -> str:
    """The next line of output, as soon as it comes."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def keys(endpoint: str, name: str) -> list[str]:
    """The keys of the queue, the oldest first."""
    done = etcdctl(endpoint, "get", f"{name}/", "--prefix", "--keys-only", "--sort-by", "CREATE", "--order", "ASCEND")
    return done.stdout.split()


def wait_for_queue(endpoint: str, name: str, length: int) -> None:
    deadline = time.monotonic() + 120
    while len(keys(endpoint, name)) != length:
        assert time.monotonic() < deadline, keys(endpoint, name)


def stop(process: subprocess.Popen[str], number: int = signal.SIGINT) -> tuple[int, str]:
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


@pytest.mark.parametrize(("first", "second"), [(ours, theirs), (theirs, ours), (ours, ours)])
def test_a_lock_goes_to_the_next_in_the_queue(
    endpoint: str, start: Start, first: Callable[[], list[str]], second: Callable[[], list[str]]
) -> None:
    holder = start(first(), "lock", "queue")
    held = line(holder)
    waiter = start(second(), "lock", "queue")
    wait_for_queue(endpoint, "queue", 2)
    queue = keys(endpoint, "queue")
    assert queue[0] == held
    assert stop(holder)[0] == 0
    assert line(waiter) == queue[1]
    assert stop(waiter, signal.SIGTERM)[0] == 0
    assert keys(endpoint, "queue") == []


def test_who_gives_up_leaves_the_queue(endpoint: str, start: Start) -> None:
    holder = start(ours(), "lock", "given-up")
    line(holder)
    waiter = start(ours(), "lock", "given-up")
    wait_for_queue(endpoint, "given-up", 2)
    assert stop(waiter) == (1, "Error: context canceled\n")
    candidate = start(ours(), "elect", "given-up", "me")
    wait_for_queue(endpoint, "given-up", 2)
    assert stop(candidate) == (1, "Error: context canceled\n")
    assert len(keys(endpoint, "given-up")) == 1


def test_the_lock_of_a_dead_holder_is_free_when_its_lease_has_run_out(start: Start) -> None:
    holder = start(ours(), "lock", "dead", "--ttl", "2")
    line(holder)
    holder.kill()
    done = start(ours(), "lock", "dead", "--", "echo", "mine")
    assert line(done) == "mine"


def test_a_command_does_not_outlive_its_lock(endpoint: str, start: Start) -> None:
    holder = start(ours(), "lock", "lost", "--ttl", "5", "--", "sh", "-c", "echo running; exec sleep 60")
    assert line(holder) == "running"
    lease = keys(endpoint, "lost")[0].rpartition("/")[2]
    assert etcdctl(endpoint, "lease", "revoke", lease).returncode == 0
    _, errors = holder.communicate(timeout=120)
    assert (holder.returncode, errors) == (1, "Error: session expired\n")


@pytest.mark.parametrize(("first", "second", "listener"), [(ours, theirs, ours), (theirs, ours, theirs)])
def test_an_election(
    endpoint: str,
    start: Start,
    first: Callable[[], list[str]],
    second: Callable[[], list[str]],
    listener: Callable[[], list[str]],
) -> None:
    leader = start(first(), "elect", "office", "one")
    key = line(leader)
    assert line(leader) == "one"
    watching = start(listener(), "elect", "-l", "office")
    assert [line(watching), line(watching)] == [key, "one"]
    other = start(second(), "elect", "office", "two")
    wait_for_queue(endpoint, "office", 2)
    etcdctl(endpoint, "put", key, "proclaimed", "--ignore-lease")
    assert [line(watching), line(watching)] == [key, "proclaimed"]
    assert stop(leader)[0] == 0
    elected = line(other)
    assert line(other) == "two"
    assert [line(watching), line(watching)] == [elected, "two"]
    assert stop(other, signal.SIGTERM)[0] == 0
    assert stop(watching)[0] == 0
