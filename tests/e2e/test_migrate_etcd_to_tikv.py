"""A real etcd under writes is migrated, by a process that is killed three times, and nobody can tell the difference."""

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from brainctl.errors import ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.watching import Watching
from tests.conftest import NewBrainctl
from tests.peers.process import Child
from tests.peers.servers import Etcd, Playground, brainctl, brainctl_argv, clean_environment, etcdctl

RATE = 500
LONGEST_PROGRESS = 100
"""Lines of progress, about one a second, after which a migration that does not get on is a failure."""
LONG_TTL = 3600
"""Leases of the writer that outlive the test have at least this TTL."""


@contextmanager
def writing(server: Etcd, log: Path) -> Iterator[None]:
    """A writer that changes keys and leases at RATE while the block runs."""
    argv = [brainctl_argv()[0], "-m", "tests.e2e.writer", server.endpoint, str(RATE), "7"]
    writer = Child(argv, log, clean_environment())
    try:
        writer.wait_until(lambda: "writing" in writer.output())
        yield
    finally:
        code = writer.stop()
    assert code == 0, writer.output()
    done = json.loads(writer.output().splitlines()[-1])
    assert done["revoke"] > 0
    assert done["delete"] > 0


def killed_when(
    arguments: Sequence[str], due: "Due", meanwhile: Callable[[], None] = lambda: None
) -> dict[str, object]:
    """Start a migration that would go on for ever, and kill -9 it as soon as its progress is `due` and `meanwhile`
    has been done.
    """
    process = subprocess.Popen(
        [*brainctl_argv(), "migrate", *arguments, "--follow"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        text=True,
    )
    assert process.stderr is not None
    last = ""
    with process:
        for number, last in enumerate(process.stderr):
            assert last.startswith("{"), last + process.stderr.read()
            assert number < LONGEST_PROGRESS, last
            progress = json.loads(last)
            if progress["kind"] == "progress" and due(progress):
                meanwhile()
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL, last
    return progress


class Due:
    """Whether a migration has come so far."""

    def __init__(self, phases: set[str], beyond: int = -1) -> None:
        self.phases = phases
        self.beyond = beyond

    def __call__(self, progress: dict[str, str]) -> bool:
        return progress["phase"] in self.phases and int(progress["watermark"]) > self.beyond


def migrated(arguments: Sequence[str]) -> dict[str, object]:
    """Run a migration to its end; its report."""
    done = brainctl("migrate", *arguments, "--until-synced", "-w", "json", seconds=120)
    assert done.returncode == 0, done.stderr
    report: dict[str, object] = json.loads(done.stdout)
    assert report["phase"] == "synced"
    return report


def revision_of(endpoint: str) -> int:
    answer = json.loads(etcdctl(endpoint, "get", "-", "-w", "json").stdout)
    return int(answer["header"]["revision"])


def end_short_leases(endpoint: str) -> None:
    """Revoke the leases that would run out while both sides are compared."""

    async def revoke() -> None:
        store = EtcdStore(EtcdTarget((endpoint,)))
        try:
            for lease in (await store.leases()).leases:
                answer = await store.lease_time_to_live(pb.LeaseTimeToLiveRequest(ID=lease.ID))
                if answer.grantedTTL < LONG_TTL:
                    with suppress(ApiError):  # it has just run out
                        await store.lease_revoke(pb.LeaseRevokeRequest(ID=lease.ID))
        finally:
            await store.close()

    asyncio.run(revoke())


def events_between(endpoint: str, first: int, last: int) -> list[bytes]:
    """What a watch over all keys from `first` delivers up to the revision `last`, event by event."""

    async def collect() -> list[bytes]:
        store = EtcdStore(EtcdTarget((endpoint,)))
        events: list[bytes] = []
        try:
            async with asyncio.timeout(60), Watching(store, first) as watching:
                async for response in watching:
                    assert not response.canceled, response.cancel_reason
                    events += [event.SerializeToString() for event in response.events]
                    if response.events and response.events[-1].kv.mod_revision >= last and not response.fragment:
                        break
        finally:
            await store.close()
        return events

    return asyncio.run(collect())


def tell_the_story(
    source: Etcd, to: Sequence[str], history: str, tmp_path: Path, meanwhile: Callable[[], None] = lambda: None
) -> tuple[int, int]:
    """Writes, three kills, the end; returns a revision from before the end that the target can be watched from, and
    the last one.
    """
    arguments = ["--from", "etcd", "--endpoints", source.endpoint, *to, "--history", history]
    with writing(source, tmp_path / "writer.log"):
        before = revision_of(source.endpoint)
        killed_when(arguments, Due({"copying", "catching-up"}))
        second = killed_when(arguments, Due({"catching-up", "synced"}, beyond=1))
        killed_when(arguments, Due({"synced"}, beyond=int(str(second["watermark"]))), meanwhile)
        under_writes = migrated(arguments)
        assert under_writes["resumed"] is True
        assert under_writes["resyncs"] == 0
    end_short_leases(source.endpoint)
    end = revision_of(source.endpoint)
    assert end > before
    report = migrated(arguments)
    assert report["revision"] == str(end)
    assert report["base_revision"] == under_writes["base_revision"]
    return max(before, int(str(report["base_revision"]))) + 1, end


def assert_equal(source: Etcd, to: Sequence[str], *flags: str) -> None:
    done = brainctl("verify", "--from", "etcd", "--endpoints", source.endpoint, *to, "-w", "json", *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["equal"] is True
    assert report["keys"] > 6000
    assert report["leases"] > 10


def assert_served(source: Etcd, url: str, first: int, end: int, new_brainctl: NewBrainctl) -> None:
    """A server over the target continues the source's history, and verify sees what is planted there."""
    server = new_brainctl(store=url)
    assert revision_of(server.endpoint) == end
    expected = events_between(source.endpoint, first, end)
    assert len(expected) > 100
    assert events_between(server.endpoint, first, end) == expected
    for endpoint, value in ((source.endpoint, "one"), (server.endpoint, "other")):
        assert etcdctl(endpoint, "put", "/registry/load/planted", value).stdout == "OK\n"
    arguments = ("--from", f"etcd://{source.endpoint}", "--to", f"etcd://{server.endpoint}")
    done = brainctl("verify", *arguments)
    assert done.returncode == 7, done.stdout + done.stderr
    assert done.stdout.startswith("different key /registry/load/planted: value\n")
    assert server.stop() == 0


def test_etcd_to_a_directory(loaded_etcd: Etcd, tmp_path: Path, new_brainctl: NewBrainctl) -> None:
    url = f"file://{tmp_path / 'target'}"
    to = ("--to", url)
    first, end = tell_the_story(loaded_etcd, to, "none", tmp_path)
    assert_equal(loaded_etcd, to)
    assert_served(loaded_etcd, url, first, end, new_brainctl)


@pytest.mark.slow
def test_etcd_to_tikv(loaded_etcd: Etcd, tikv: Playground, tmp_path: Path, new_brainctl: NewBrainctl) -> None:
    to = ("--to", "tikv", "--pd", tikv.endpoint, "--tikv-prefix", "migrated")
    # Both sides are compared once while the source takes writes and the migration follows.
    _, end = tell_the_story(loaded_etcd, to, "all", tmp_path, lambda: assert_equal(loaded_etcd, to, "--live"))
    assert_equal(loaded_etcd, to)
    # The whole history came along: a watch from the very first revision is served as well.
    assert_served(loaded_etcd, tikv.url("migrated"), 2, end, new_brainctl)
