"""What long commands show on a terminal while they run, and that they show it nowhere else."""

import os
import pty
import select
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.peers.servers import Etcd, brainctl, brainctl_argv, clean_environment


def passing(arguments: Sequence[str]) -> tuple[int, ...]:
    """The exit codes of success; `check perf` may find this machine too slow."""
    return (0, 1) if arguments[0] == "check" else (0,)


def on_terminal(*arguments: str) -> tuple[str, str]:
    """Run a command whose standard error is a terminal: its standard output, and what the terminal got."""
    terminal, other = pty.openpty()
    environment = clean_environment() | {"TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(
        [*brainctl_argv(), *arguments], stdout=subprocess.PIPE, stderr=other, env=environment, text=True
    )
    os.close(other)
    shown = b""
    while True:
        try:
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 1 << 16)
        except OSError:  # the other end is closed
            break
    output, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert process.returncode in passing(arguments), shown.decode()
    return output, shown.decode()


@pytest.fixture(scope="module")
def world(etcd: Etcd, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A store in a server, and the same in a snapshot and in a directory."""
    directory = tmp_path_factory.mktemp("progress")
    assert brainctl("put", "progress", "v", "--endpoints", etcd.endpoint).returncode == 0
    names = {"endpoint": etcd.endpoint, "file": f"{directory}/snapshot", "store": f"{directory}/store"}
    assert brainctl("snapshot", "save", names["file"], "--endpoints", etcd.endpoint).returncode == 0
    assert brainctl("snapshot", "restore", names["file"], "--data-dir", names["store"]).returncode == 0
    return names


@pytest.mark.parametrize(
    ("command", "verb", "unit"),
    [
        (["snapshot", "save", "{new}", "--endpoints", "{endpoint}"], "saving", " MB"),
        (["snapshot", "restore", "{file}", "--data-dir", "{new}"], "restoring", " keys"),
        (["snapshot", "restore", "{file}", "--data-dir", "{new}"], "hashing", " MB"),
        (["snapshot", "restore", "{file}", "--data-dir", "{new}"], "checking", " MB"),
        (["store", "check", "{store}"], "checking", " MB"),
        (["verify", "--from", "file://{store}", "--to", "file://{store}.copy"], "comparing", " keys"),
        (["check", "perf", "--endpoints", "{endpoint}", "--duration", "2s", "--rate", "5"], "writing", " s"),
    ],
)
def test_progress_is_shown_on_a_terminal_alone(
    world: dict[str, str], tmp_path: Path, command: list[str], verb: str, unit: str
) -> None:
    if "comparing" in verb:
        restore = ("snapshot", "restore", world["file"], "--data-dir", f"{world['store']}.copy")
        assert brainctl(*restore).returncode == 0
    output, shown = on_terminal(*(word.format(**world, new=tmp_path / "terminal") for word in command))
    assert verb in shown
    assert unit in shown.partition(verb)[2]
    assert verb not in output
    done = brainctl(*(word.format(**world, new=tmp_path / "plain") for word in command))
    assert done.returncode in passing(command), done.stderr
    assert verb not in done.stdout + done.stderr
    assert "\x1b" not in done.stderr
