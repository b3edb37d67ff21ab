"""A source or a target that is away for a while is waited for, at any time, and that is said while it lasts."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import NewEtcd
from tests.peers.servers import Playground, brainctl, brainctl_argv, clean_environment, etcdctl
from tests.support.processes import descendants

Line = dict[str, object]


class Migration:
    """A running `brainctl migrate`."""

    def __init__(self, *flags: str) -> None:
        self.process = subprocess.Popen(
            [*brainctl_argv(), "migrate", *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            text=True,
        )

    def until(self, due: Callable[[Line], object]) -> Line:
        """Read standard error up to the line that is due; nothing but JSON is on it."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            found: Line = json.loads(line)
            if due(found):
                return found
        raise AssertionError(f"the migration ended with {self.process.wait()}: {self.process.stdout}")

    def until_waiting_for(self, side: str) -> Line:
        return self.until(lambda line: line["kind"] == "retry" and line["side"] == side)

    def until_synced_at(self, revision: int) -> Line:
        return self.until(lambda line: line.get("phase") == "synced" and int(str(line["watermark"])) >= revision)

    def end(self) -> tuple[int, str, str]:
        self.process.send_signal(signal.SIGTERM)
        output, errors = self.process.communicate()
        return self.process.returncode, output, errors


def put(endpoint: str, value: str) -> int:
    """Put a key; its revision."""
    done = etcdctl(endpoint, "put", "/k", value, "-w", "json")
    return int(json.loads(done.stdout)["header"]["revision"])


def test_a_source_that_is_down_at_the_start_is_waited_for(new_etcd: NewEtcd, tmp_path: Path) -> None:
    source = new_etcd()
    revision = put(source.endpoint, "v")
    source.kill()
    migration = Migration("--from", f"etcd://{source.endpoint}", "--to", f"file://{tmp_path / 't'}", "-w", "json")
    said = migration.until_waiting_for("source")
    assert said["store"] == f"etcd://{source.endpoint}"
    assert "cannot connect" in str(said["error"])
    assert 0 < float(str(said["left_seconds"])) <= 300
    source.start()
    migration.until_synced_at(revision)
    output, errors = migration.process.communicate()
    assert migration.process.returncode == 0, errors
    assert json.loads(output)["retries"] > 0


def test_a_source_that_is_stopped_is_waited_for(new_etcd: NewEtcd, tmp_path: Path) -> None:
    source = new_etcd()
    urls = ("--from", f"etcd://{source.endpoint}", "--to", f"file://{tmp_path / 't'}")
    migration = Migration(*urls, "--follow", "--command-timeout", "1s")
    migration.until_synced_at(put(source.endpoint, "v"))
    assert source.child is not None
    source.child.process.send_signal(signal.SIGSTOP)
    try:
        said = migration.until_waiting_for("source")
    finally:
        source.child.process.send_signal(signal.SIGCONT)
    assert "no answer within 1 s" in str(said["error"])
    migration.until_synced_at(put(source.endpoint, "w"))
    assert migration.end()[0] == 0
    assert brainctl("verify", *urls).returncode == 0


def test_a_target_that_is_away_is_waited_for(new_etcd: NewEtcd, tmp_path: Path) -> None:
    """From the start on, then in the middle of the stream; and it is not waited for after a signal."""
    source, target = new_etcd(), Playground(tmp_path / "tikv")
    urls = ("--from", f"etcd://{source.endpoint}", "--to", target.url("away"))
    revision = put(source.endpoint, "v")
    migration = Migration(*urls, "--follow")
    migration.until_waiting_for("target")
    with target:
        migration.until_synced_at(revision)
        target.kill()
        revision = put(source.endpoint, "w")
        said = migration.until_waiting_for("target")
        assert said["store"] == target.url("away")
        target.start()
        migration.until_synced_at(revision)
        target.kill()
        put(source.endpoint, "x")
        migration.until_waiting_for("target")
        code, _, errors = migration.end()
        assert code == 128 + signal.SIGTERM, errors
        assert "stopped while it waited" in errors
        target.start()
        done = brainctl("migrate", *urls)
        assert done.returncode == 0, done.stderr
        assert brainctl("verify", *urls).returncode == 0


def test_a_placement_driver_that_is_silent_alone_is_waited_for(new_etcd: NewEtcd, tmp_path: Path) -> None:
    """TiKV itself goes on; without PD there are no timestamps for transactions."""
    source = new_etcd()
    with Playground(tmp_path / "tikv") as target:
        (pd,) = (pid for pid in descendants(target.pid) if "pd-lite" in Path(f"/proc/{pid}/cmdline").read_text())
        urls = ("--from", f"etcd://{source.endpoint}", "--to", target.url("silent"))
        migration = Migration(*urls, "--follow")
        migration.until_synced_at(put(source.endpoint, "v"))
        os.kill(pd, signal.SIGSTOP)
        try:
            revision = put(source.endpoint, "w")
            said = migration.until_waiting_for("target")
        finally:
            os.kill(pd, signal.SIGCONT)
        assert said["store"] == target.url("silent")
        assert "no answer" in str(said["error"]) or "not answer" in str(said["error"])
        migration.until_synced_at(revision)
        code, _, errors = migration.end()
        assert (code, [line for line in errors.splitlines() if not line.startswith("{")]) == (0, [])
        assert brainctl("verify", *urls).returncode == 0


@pytest.mark.parametrize("side", ["source", "target"])
def test_patience_ends(side: str, new_etcd: NewEtcd, tmp_path: Path) -> None:
    source = "etcd://127.0.0.1:1" if side == "source" else f"etcd://{new_etcd().endpoint}"
    target = f"file://{tmp_path / 't'}" if side == "source" else "tikv://127.0.0.1:1/p"
    done = brainctl("migrate", "--from", source, "--to", target, "--retry-for", "200ms")
    # A loaded machine may not learn within the time limit of a request that nobody listens there: no answer, 124.
    assert done.returncode in ({2} if side == "source" else {2, 124}), done.stderr
    *said, error = done.stderr.splitlines()
    assert {json.loads(line)["side"] for line in said} <= {side}
    assert error.startswith(f"Error: the {side} {source if side == 'source' else target} has been away for ")
    assert "(--retry-for)" in error


def test_a_signal_ends_the_wait_at_the_start(tmp_path: Path) -> None:
    migration = Migration("--from", "etcd://127.0.0.1:1", "--to", f"file://{tmp_path / 't'}")
    migration.until_waiting_for("source")
    code, _, errors = migration.end()
    assert code == 128 + signal.SIGTERM, errors
    assert "stopped while it waited" in errors
