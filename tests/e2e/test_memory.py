"""Memory of a process that copies large values: it holds a few of them at a time, not all."""

import asyncio
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget
from tests.conftest import NewEtcd
from tests.peers.servers import Etcd, brainctl_argv, clean_environment, etcdctl

VALUES = 80
VALUE_BYTES = 1_400_000
PEAK_BYTES = 250 << 20
"""It is 140 MiB here, and 350 to 500 without pages that are bounded in bytes."""


@pytest.fixture
def source(new_etcd: NewEtcd) -> Etcd:
    server = new_etcd()

    async def fill() -> None:
        store = EtcdStore(EtcdTarget((server.endpoint,)))
        for number in range(VALUES):
            value = random.Random(number).randbytes(VALUE_BYTES)
            await store.put(pb.PutRequest(key=b"/large/%03d" % number, value=value))
        await store.close()

    asyncio.run(fill())
    return server


# The peak of a process that was just forked is that of its parent, here of a worker with hundreds of megabytes.
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def run(*argv: str) -> tuple[int, int]:
    """Run a command to its end; its exit code, and the peak of its memory in bytes."""
    command = [sys.executable, "-S", "-c", MEASURE, *brainctl_argv(), *argv]
    done = subprocess.run(
        command, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True
    )
    code, peak = map(int, done.stdout.split())
    return code, peak


def peak_of(pid: int) -> int:
    """Return the peak of the memory of a running process, in bytes."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def test_a_base_copy_into_a_directory(source: Etcd, tmp_path: Path) -> None:
    copy = ("migrate", "--from", f"etcd://{source.endpoint}", "--to", f"file://{tmp_path}/target", "--history", "none")
    code, peak = run(*copy)
    assert code == 0
    assert peak < PEAK_BYTES


def test_a_base_copy_into_tikv(source: Etcd, tikv_url: str) -> None:
    code, peak = run("migrate", "--from", f"etcd://{source.endpoint}", "--to", tikv_url, "--history", "none")
    assert code == 0
    assert peak < PEAK_BYTES


def test_a_mirror(source: Etcd, new_etcd: NewEtcd) -> None:
    target = new_etcd()
    mirror = [*brainctl_argv(), "--endpoints", source.endpoint, "make-mirror", target.endpoint]
    process = subprocess.Popen(mirror, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 240
        count = ("get", "", "--prefix", "--count-only", "-w", "fields")
        while f'"Count" : {VALUES}' not in etcdctl(target.endpoint, *count).stdout:
            assert time.monotonic() < deadline
        assert peak_of(process.pid) < PEAK_BYTES
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
    assert process.returncode == 128 + signal.SIGINT
