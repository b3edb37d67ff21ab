"""The probe measures every kind of write within its bounds, leaves nothing, and says what its figures mean."""

import json
import os
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from brainctl.cli.main import run
from brainctl.clock import SystemClock
from brainctl.errors import ExitCode
from brainctl.flash import verdict
from brainctl.flash.device import Device, look
from brainctl.flash.probe import NEW, PREPARED, Case, Latencies, Measured, cases, probe
from tests.peers.process import Child
from tests.peers.servers import brainctl, brainctl_argv, clean_environment

DISK = Device("ext4", "/", "rw", "vda", "", {"discard_max_bytes": "1", "write_cache": "write back"})


class Ticking:
    """A clock on which every look takes so long."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now

    wall = monotonic


def test_every_kind_of_write_is_measured(tmp_path: Path) -> None:
    measured = probe(tmp_path, SystemClock(), 2.0, 16 << 20, Random(1))
    assert list(measured.cases) == cases()
    assert all(len(found.seconds) > 1 for found in measured.cases.values())
    assert all(found.seconds == sorted(found.seconds) for found in measured.cases.values())
    assert measured.stream_bytes_per_second > 0
    assert list(tmp_path.iterdir()) == []


def test_bytes_and_time_are_bounded(tmp_path: Path) -> None:
    measured = probe(tmp_path, SystemClock(), 5.0, 8 << 20, Random(1))
    assert measured.bytes <= 8 << 20
    slow = Ticking(0.5)
    measured = probe(tmp_path, slow, 5.0, 8 << 20, Random(1))
    assert all(found.seconds for found in measured.cases.values())
    assert slow.now < 40


def figures(seconds: float) -> Measured:
    """A disk that takes so long for whatever is synced."""
    return Measured({case: Latencies([seconds] * 100) for case in cases()}, 1e8, True, 0, 1.0)


@pytest.mark.parametrize(
    ("seconds", "missed", "words"),
    [
        (0.0001, [[], []], "heavily loaded"),
        (0.004, [[], ["the same, for a heavy load"]], "moderate load"),
        (0.012, [1, 2], "too slow"),
        (0.03, [3, 4], "too slow"),
    ],
)
def test_thresholds_are_those_of_etcd(seconds: float, missed: list[object], words: str) -> None:
    found = verdict.checks(figures(seconds))
    for level, expected in zip(("etcd", "heavy"), missed, strict=True):
        names = [check.what for check in verdict.failed(found, level)]
        assert expected in (names, len(names))
    assert words in str(verdict.sentences(figures(seconds), DISK))


def test_a_sync_that_cannot_be_one_is_doubted() -> None:
    assert "does not flush" in str(verdict.sentences(figures(5e-6), DISK))
    assert "does not flush" not in str(verdict.sentences(figures(1e-4), DISK))
    assert "does not flush" not in str(verdict.sentences(figures(5e-6), DISK._replace(file_system="tmpfs")))


def test_groups_share_a_sync() -> None:
    measured = figures(0.001)
    measured.cases[Case(PREPARED, 64 << 10)] = Latencies([0.002])
    assert "about 1,000 puts/s" in verdict.sentences(measured, DISK)[0]
    assert "up to 21,000 puts/s" in verdict.sentences(measured, DISK)[1]


def test_percentiles() -> None:
    found = Latencies([float(n) for n in range(1, 101)])
    assert (found.at(0.5), found.at(0.99), found.at(1.0), found.mean) == (51.0, 100.0, 100.0, 50.5)
    assert Latencies().at(0.99) == 0.0


# -- what the kernel says ---------------------------------------------------------------------------------------


def test_a_partition_is_found_on_its_disk(tmp_path: Path) -> None:
    status = tmp_path.stat()
    number = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    disk = tmp_path / "devices" / "nvme0n1"
    (disk / "queue").mkdir(parents=True)
    (disk / "device").mkdir()
    (disk / "nvme0n1p2").mkdir()
    (disk / "nvme0n1p2" / "partition").write_text("2\n")
    (disk / "device" / "model").write_text("FAST DISK  \n")
    (disk / "queue" / "scheduler").write_text("none [mq-deadline] kyber\n")
    (disk / "queue" / "rotational").write_text("0\n")
    (disk / "queue" / "discard_max_bytes").write_text("0\n")
    (tmp_path / "dev" / "block").mkdir(parents=True)
    (tmp_path / "dev" / "block" / number).symlink_to(disk / "nvme0n1p2")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"20 1 {number} / / rw,relatime shared:1 - ext4 /dev/x rw,nobarrier\n"
        f"21 20 {number} /sub {tmp_path}/other rw - ext4 /dev/x rw\n"
        f"22 20 {number} /sub {tmp_path} rw,noatime - xfs /dev/x rw,discard\n"
    )
    device = look(tmp_path, tmp_path, mounts)
    assert device[:5] == ("xfs", str(tmp_path), "rw,noatime,discard", "nvme0n1", "FAST DISK")
    assert device.queue == {"rotational": "0", "scheduler": "mq-deadline", "discard_max_bytes": "0"}
    assert "mounted with discard" in str(device.remarks())
    assert "takes no TRIM" in str(device._replace(mount_options="rw").remarks())
    assert "without barriers" in str(device._replace(mount_options="rw,nobarrier").remarks())


def test_memory_is_called_memory() -> None:
    device = look(Path("/dev/shm"))
    assert device.is_memory
    assert device.block == ""
    assert "is memory" in device.remarks()[0]


# -- the command ------------------------------------------------------------------------------------------------


def test_the_command(tmp_path: Path) -> None:
    done = brainctl("flash", "probe", str(tmp_path), "--seconds", "2", "--size", "8M", "-w", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {(row["place"], row["bytes"]) for row in found["syncs"]} >= {(NEW, "2300"), (PREPARED, "262144")}
    assert int(found["written_bytes"]) <= 8 << 20
    assert found["words"]
    assert list(tmp_path.iterdir()) == []


def test_what_is_required_decides_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["flash", "probe", str(tmp_path), "--seconds", "1", "--size", "8M"]
    monkeypatch.setattr(verdict, "HEAVY_IOPS", 10**9)
    monkeypatch.setattr(verdict, "IOPS", 0)
    monkeypatch.setattr(verdict, "FSYNC_SECONDS", 10.0)
    monkeypatch.setattr(verdict, "COMMIT_SECONDS", 10.0)
    assert run([*argv, "--require", "heavy"]) == ExitCode.TOO_SLOW
    assert run([*argv, "--require", "etcd"]) == 0
    assert run(argv) == 0


def has_open(pid: int, directory: Path) -> bool:
    """Whether a process has a file of a directory open."""
    for link in list(Path(f"/proc/{pid}/fd").iterdir()):
        with suppress(FileNotFoundError):  # closed meanwhile
            if str(directory) in str(link.readlink()):
                return True
    return False


def test_a_killed_probe_leaves_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "probed"
    directory.mkdir()
    argv = [*brainctl_argv(), "flash", "probe", str(directory), "--seconds", "60", "--size", "2G"]
    child = Child(argv, tmp_path / "log", clean_environment())
    child.wait_until(lambda: has_open(child.pid, directory))
    child.kill()
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        ((), ExitCode.BAD_ARGS),
        (("nowhere",), ExitCode.INVALID_INPUT),
        ((".", "--seconds", "0s"), ExitCode.BAD_ARGS),
        ((".", "--size", "many"), ExitCode.ERROR),
        ((".", "--size", "1K"), ExitCode.BAD_ARGS),
        ((".", "--require", "more"), ExitCode.BAD_ARGS),
        ((".", "--size", "900P"), ExitCode.INVALID_INPUT),
    ],
)
def test_mistakes(argv: tuple[str, ...], code: int) -> None:
    assert brainctl("flash", "probe", *argv).returncode == code
