"""etcd's own end-to-end tests, run against `brainctl serve` by etcd's own etcdctl.

The programs are those of etcd's module of tests; they start a server by the name of `etcd`, which is brainctl here
(etcd-suite/etcd.py). What is left out, and why, is in etcd-suite/excluded.toml.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.peers import ROOT, require
from tests.peers.ports import free_ports
from tests.support.suites import WHOLE

HERE = Path(__file__).resolve().parent / "etcd-suite"
EXCLUDED = {
    suite: [name for names in reasons.values() for name in names]
    for suite, reasons in tomllib.loads((HERE / "excluded.toml").read_text()).items()
}
PORTS = 5
"""Of a cluster of one member."""
SHARDS = {
    "auth": ("common", "^TestAuth"),
    "common": ("common", "^Test([^A]|A[^u])"),
    "ctl": ("e2e", "^TestCtl"),
    "curl": ("e2e", "^TestCurl([^V]|V3[^KM_])"),
    "curl, keys": ("e2e", "^TestCurlV3[KM_]"),
    "others": ("e2e", "^Test([^C]|C[^tu])"),
}
IN_EVERY_RUN = ("auth", "curl", "curl, keys")
ONLY_IN_WHOLE = {"common": [], "e2e": ["TestCurlV3_MaxStreams.*_(Medium|Large)"]}
"""The same as the small ones but for the number of streams."""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with etcd, which is brainctl, and the real etcdctl and etcdutl."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("etcdctl", "etcdutl"):
        (directory / name).symlink_to(require(name))
    environment = f'PYTHONPATH="{ROOT}" SUITE_FIXTURES="{require("etcd-suite") / "fixtures"}"'  # theirs is empty
    (directory / "etcd").write_text(f'#!/bin/sh\n{environment} exec "{sys.executable}" "{HERE / "etcd.py"}" "$@"\n')
    (directory / "etcd").chmod(0o755)
    return directory


def run(suite: str, programs: Path, *flags: str) -> str:
    directory = require("etcd-suite")
    done = subprocess.run(
        [str(directory / f"{suite}.test"), "-bin-dir", str(programs), *flags],
        cwd=directory / "fixtures",
        env=os.environ | {"E2E_TEST_MINIMAL": "true", "SUITE_BASE_PORT": str(free_ports(PORTS))},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, failures(done.stdout) + done.stderr[-2000:]
    return done.stdout


def failures(output: str) -> str:
    """What the tests that failed have printed."""
    parts = re.split(r"(?m)^=== RUN .*\n", output)
    return "\n".join(part for part in parts if "--- FAIL" in part or "panic:" in part)[-6000:]


def wideness(pattern: str) -> tuple[bool, bool]:
    """Go looks at no more patterns once one has matched a part of a name: those of whole tests go first."""
    return "/" in pattern, pattern.startswith(".*")


def names(output: str, word: str) -> set[str]:
    return set(re.findall(rf"(?m)^--- {word}: (\S+)", output))


@pytest.mark.parametrize("shard", SHARDS if WHOLE else IN_EVERY_RUN)
def test_etcd_tests_pass(shard: str, programs: Path) -> None:
    suite, pattern = SHARDS[shard]
    excluded = EXCLUDED[suite] + ([] if WHOLE else ONLY_IN_WHOLE[suite])
    listed = re.findall(r"(?m)^Test\w+$", run(suite, programs, "-test.list", pattern))
    expected = {name for name in listed if not any(re.fullmatch(pattern, name) for pattern in excluded)}
    skip = "|".join("/".join(f"^{part}$" for part in name.split("/")) for name in sorted(excluded, key=wideness))
    output = run(suite, programs, "-test.v", "-test.run", pattern, "-test.skip", skip)
    assert names(output, "PASS") == expected
    assert names(output, "SKIP") == set()
