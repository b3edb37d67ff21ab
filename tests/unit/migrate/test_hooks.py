"""The hooks of a cutover end with the migration that runs them, however that ends."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from brainctl.migrate.cutover import run_hook
from tests.peers.servers import clean_environment

RUN = "import asyncio, sys; from brainctl.migrate.cutover import run_hook; asyncio.run(run_hook(sys.argv[1], 600.0))"


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def pids_in(file: Path, count: int) -> list[int]:
    """Wait for a hook to write so many pids."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = file.read_text().split("\n")[:-1] if file.exists() else []
        if len(found) == count:
            return [int(pid) for pid in found]
        time.sleep(0.01)
    raise AssertionError(file)


def gone(*pids: int) -> bool:
    deadline = time.monotonic() + 120
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(is_running, pids))


def test_a_hook_ends_when_its_migration_is_killed(tmp_path: Path) -> None:
    hook = f"sleep 600 & echo $! >> {tmp_path}/pids; echo $$ >> {tmp_path}/pids; sleep 600; touch {tmp_path}/frozen"
    process = subprocess.Popen([sys.executable, "-c", RUN, hook], env=clean_environment())
    try:
        pids = pids_in(tmp_path / "pids", 2)
        assert all(map(is_running, pids))
    finally:
        process.kill()
        process.wait()
    assert gone(*pids)
    assert not (tmp_path / "frozen").exists()


def test_control_what_a_hook_leaves_behind_stays_when_all_is_well(tmp_path: Path) -> None:
    hook = f'test -z "$(cat)"; sleep 600 >/dev/null 2>&1 & echo $! > {tmp_path}/pids'
    process = subprocess.Popen([sys.executable, "-c", RUN, hook], env=clean_environment())
    (pid,) = pids_in(tmp_path / "pids", 1)
    try:
        assert process.wait() == 0
        group = os.getpgid(pid)
        others = [int(each.name) for each in Path("/proc").glob("[0-9]*") if each.name != str(pid)]
        assert gone(*(other for other in others if group_of(other) == group)), "nobody watches it any more"
        assert is_running(pid)
    finally:
        os.kill(pid, 9)


def group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def test_the_output_and_the_end_of_a_hook_are_its_own(tmp_path: Path) -> None:
    asyncio.run(run_hook(f'echo "$BRAINCTL_PHASE" > {tmp_path}/out; cat >> {tmp_path}/out', 60, phase="freezing"))
    assert (tmp_path / "out").read_text() == "freezing\n"
