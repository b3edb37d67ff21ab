"""Memory of a process that copies large values: it holds a few of them at a time, not all."""

import asyncio
import os
import random
import signal
import subprocess
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


def started(*argv: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*brainctl_argv(), *argv], env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


def ended(process: "subprocess.Popen[bytes]") -> tuple[int, int]:
    """Wait for the end of a process; its exit code, and the peak of its memory in bytes."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss * 1024


def test_a_base_copy_into_a_directory(source: Etcd, tmp_path: Path) -> None:
    copy = ("migrate", "--from", f"etcd://{source.endpoint}", "--to", f"file://{tmp_path}/target", "--history", "none")
    code, peak = ended(started(*copy))
    assert code == 0
    assert peak < PEAK_BYTES


def test_a_base_copy_into_tikv(source: Etcd, tikv_url: str) -> None:
    code, peak = ended(started("migrate", "--from", f"etcd://{source.endpoint}", "--to", tikv_url, "--history", "none"))
    assert code == 0
    assert peak < PEAK_BYTES


def test_a_mirror(source: Etcd, new_etcd: NewEtcd) -> None:
    target = new_etcd()
    process = started("--endpoints", source.endpoint, "make-mirror", target.endpoint)
    try:
        deadline = time.monotonic() + 120
        count = ("get", "", "--prefix", "--count-only", "-w", "fields")
        while f'"Count" : {VALUES}' not in etcdctl(target.endpoint, *count).stdout:
            assert time.monotonic() < deadline
    finally:
        process.send_signal(signal.SIGINT)
        code, peak = ended(process)
    assert code == 128 + signal.SIGINT
    assert peak < PEAK_BYTES
