"""Cutovers as a user runs them: from every kind of source into every kind of target, and what is left of one that ends
early.
"""

import json
import signal
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import NewBrainctl, NewEtcd
from tests.peers.process import POLL_SECONDS
from tests.peers.servers import Etcd, Playground, Server, brainctl, brainctl_argv, clean_environment, etcdctl

TargetUrl = Callable[[], str]


@pytest.fixture(params=["etcd", "brainctl"])
def any_source(request: pytest.FixtureRequest, new_etcd: NewEtcd, new_brainctl: NewBrainctl) -> Server:
    server = new_etcd() if request.param == "etcd" else new_brainctl()
    fill(server)
    return server


@pytest.fixture
def source(new_etcd: NewEtcd) -> Etcd:
    server = new_etcd()
    fill(server)
    return server


@pytest.fixture(params=["file", "tikv"])
def target_url(request: pytest.FixtureRequest, tmp_path: Path, tikv: Playground) -> TargetUrl:
    """Make URLs of new stores."""
    count = 0

    def new() -> str:
        nonlocal count
        count += 1
        number = f"{abs(hash(request.node.nodeid)):x}-{count}"
        return f"file://{tmp_path / number}" if request.param == "file" else tikv.url(number)

    return new


def fill(server: Server) -> None:
    puts = "".join(f"put /k/{n:04} v{n}\n" for n in range(100))
    assert etcdctl(server.endpoint, "txn", stdin=f"\n{puts}\n\n").stdout.startswith("SUCCESS")
    etcdctl(server.endpoint, "put", "/k/0001", "again")


class Hooks:
    """Hooks that note that they ran."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "hooks"

    def flags(self, freeze: str = "true") -> tuple[str, ...]:
        note = f"echo $BRAINCTL_PHASE >> {self.log}"
        return ("--freeze-hook", f"{note}; {freeze}", "--unfreeze-hook", note)

    @property
    def ran(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture
def hooks(tmp_path: Path) -> Hooks:
    return Hooks(tmp_path)


def from_to(source: Server, url: str) -> tuple[str, ...]:
    return ("--from", f"etcd://{source.endpoint}", "--to", url)


def migrate(*flags: str) -> dict[str, object]:
    done = brainctl("migrate", *flags, "-w", "json")
    assert done.returncode == 0, done.stderr
    report: dict[str, object] = json.loads(done.stdout)
    return report


def follow_until_synced(*flags: str) -> None:
    process = start(*flags, "--follow")
    with process:
        wait_for(process, lambda line: line.get("phase") == "synced")
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 0


def start(*flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*brainctl_argv(), "migrate", *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        text=True,
    )


def wait_for(process: subprocess.Popen[str], due: Callable[[dict[str, object]], bool]) -> dict[str, object]:
    """Read the progress up to the line that is due."""
    assert process.stderr is not None
    for line in process.stderr:
        if due(found := json.loads(line)):
            return found
    raise AssertionError(f"the migration ended with {process.wait()}")


def test_every_goal_is_reached_into_every_kind_of_target(
    any_source: Server, target_url: TargetUrl, hooks: Hooks
) -> None:
    flags = from_to(any_source, target_url())
    assert migrate(*flags)["phase"] == "synced"
    etcdctl(any_source.endpoint, "put", "/k/0002", "later")
    follow_until_synced(*flags)
    etcdctl(any_source.endpoint, "put", "/k/0003", "later")
    report = migrate(*flags, "--cutover", *hooks.flags())
    assert (report["phase"], report["resumed"], report["reason"]) == ("committed", True, "")
    assert hooks.ran == ["freezing"]
    assert brainctl("verify", *flags).returncode == 0
    again = brainctl("migrate", *flags, "--cutover", *hooks.flags())
    assert (again.returncode, hooks.ran) == (0, ["freezing"])
    assert "was cut over at revision" in again.stderr


def test_a_cutover_in_one_go(source: Etcd, target_url: TargetUrl, hooks: Hooks) -> None:
    flags = from_to(source, target_url())
    assert migrate(*flags, "--cutover", *hooks.flags(), "--history", "none")["phase"] == "committed"
    assert hooks.ran == ["freezing"]
    assert brainctl("verify", *flags).returncode == 0


def test_after_a_kill_the_next_start_says_what_froze_the_source(
    source: Etcd, target_url: TargetUrl, hooks: Hooks
) -> None:
    """The hook kills the process that runs it, when the source is frozen and nothing else has happened yet."""
    flags = from_to(source, target_url())
    killed = brainctl("migrate", *flags, "--cutover", *hooks.flags("kill -9 $PPID"))
    assert killed.returncode == -signal.SIGKILL
    assert hooks.ran == ["freezing"]
    told = brainctl("migrate", *flags)
    assert told.returncode == 0, told.stderr
    assert "the source may be frozen, by the hook" in told.stderr
    assert "kill -9 $PPID" in told.stderr
    assert "--unfreeze-hook" in told.stderr
    freed = brainctl("migrate", *flags, *hooks.flags()[2:])
    assert freed.returncode == 0, freed.stderr
    assert hooks.ran == ["freezing", "unfreezing"]
    quiet = brainctl("migrate", *flags)
    assert (quiet.returncode, "frozen" in quiet.stderr) == (0, False), quiet.stderr


def test_after_a_kill_the_next_cutover_goes_on(source: Etcd, target_url: TargetUrl, hooks: Hooks) -> None:
    flags = from_to(source, target_url())
    assert brainctl("migrate", *flags, "--cutover", *hooks.flags("kill -9 $PPID")).returncode == -signal.SIGKILL
    assert migrate(*flags, "--cutover", *hooks.flags())["phase"] == "committed"
    assert hooks.ran == ["freezing", "freezing"]


def test_a_hook_has_a_time_limit(source: Etcd, hooks: Hooks, tmp_path: Path) -> None:
    flags = from_to(source, f"file://{tmp_path / 'target'}")
    sleeper = tmp_path / "sleeper"
    endless = f"sleep 300 & echo $! > {sleeper}; wait"
    done = brainctl("migrate", *flags, "--cutover", *hooks.flags(endless), "--freeze-timeout", "3s")
    assert done.returncode == 1, done.stderr
    assert "was ended because it took longer than 3 s" in done.stderr
    assert hooks.ran == ["freezing", "unfreezing"]
    assert not alive(int(sleeper.read_text()))
    assert migrate(*flags, "--cutover", *hooks.flags())["phase"] == "committed"


def test_an_unfreeze_hook_that_hangs_is_said(source: Etcd, tmp_path: Path) -> None:
    flags = from_to(source, f"file://{tmp_path / 'target'}")
    hooks = ("--freeze-hook", "exit 3", "--unfreeze-hook", "sleep 300")
    done = brainctl("migrate", *flags, "--cutover", *hooks, "--freeze-timeout", "3s")
    assert done.returncode == 1, done.stderr
    assert "the source may still be frozen, by the hook 'exit 3': the hook 'sleep 300' was ended" in done.stderr
    assert "an earlier cutover was cut short" in brainctl("migrate", *flags).stderr


def test_a_signal_while_the_hook_runs_ends_it_before_the_source_is_unfrozen(
    source: Etcd, tmp_path: Path, hooks: Hooks
) -> None:
    """Otherwise a slow hook would freeze the source after all."""
    sleeper = tmp_path / "sleeper"
    flags = hooks.flags(f"echo $$ > {sleeper}; exec sleep 300")
    process = start(*from_to(source, f"file://{tmp_path / 'target'}"), "--cutover", *flags)
    with process:
        wait_for(process, lambda line: line.get("phase") == "freezing")
        while not sleeper.exists() or not sleeper.read_text().strip():
            signal.sigtimedwait([], POLL_SECONDS)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert "the cutover was given up: it was interrupted" in errors
    assert hooks.ran == ["freezing", "unfreezing"]
    assert not alive(int(sleeper.read_text()))


def alive(pid: int) -> bool:
    """Whether a process runs: one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_stores_without_a_server_are_cut_over_too(source: Etcd, tmp_path: Path, tikv_url: str) -> None:
    stores = [f"etcd://{source.endpoint}", f"file://{tmp_path / 'one'}", tikv_url, f"file://{tmp_path / 'two'}"]
    for origin, target in pairwise(stores):
        report = migrate("--from", origin, "--to", target, "--cutover", "--writers-are-stopped")
        assert report["phase"] == "committed"
    done = brainctl("verify", "--from", stores[0], "--to", stores[-1])
    assert done.returncode == 0, done.stdout + done.stderr
