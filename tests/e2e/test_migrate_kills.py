"""A migration killed at any moment, again and again: nothing is lost, nothing comes twice."""

import subprocess
from pathlib import Path
from random import Random

import pytest

from tests.conftest import NewBrainctl
from tests.e2e.test_migrate_etcd_to_tikv import (
    assert_equal,
    assert_served,
    end_short_leases,
    migrated,
    revision_of,
    writing,
)
from tests.peers.servers import Etcd, Playground, brainctl_argv, clean_environment

KILLS = 10


def kill_after(arguments: list[str], seconds: float) -> bool:
    """Run a migration that would go on for ever, for so long after it has begun; whether it was still running."""
    process = subprocess.Popen(
        [*brainctl_argv(), "migrate", *arguments, "--follow"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=clean_environment(),
    )
    assert process.stderr is not None
    try:
        process.stderr.readline()
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    finally:
        process.kill()
        process.communicate()
    return False


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "tikv"])
def test_killed_at_random(
    kind: str, loaded_etcd: Etcd, tikv: Playground, tmp_path: Path, new_brainctl: NewBrainctl
) -> None:
    random = Random(kind)
    url = f"file://{tmp_path / 'target'}" if kind == "file" else tikv.url("killed")
    arguments = ["--from", "etcd", "--endpoints", loaded_etcd.endpoint, "--to", url, "--history", "none"]
    with writing(loaded_etcd, tmp_path / "writer.log"):
        for _ in range(KILLS):
            assert kill_after(arguments, random.uniform(0, 0.7))
    end_short_leases(loaded_etcd.endpoint)
    report = migrated(arguments)
    end = revision_of(loaded_etcd.endpoint)
    assert report["revision"] == str(end)
    assert int(str(report["base_revision"])) < end
    assert_equal(loaded_etcd, ("--to", url))
    assert_served(loaded_etcd, url, int(str(report["base_revision"])) + 1, end, new_brainctl)
