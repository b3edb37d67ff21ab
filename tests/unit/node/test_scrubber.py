"""When a server scrubs, how fast, and what it does about what it finds."""

import asyncio
import json
from pathlib import Path
from urllib.request import urlopen

import pytest

from brainctl.clock import ManualClock
from brainctl.engine.engine import Engine
from brainctl.errors import ExitCode
from brainctl.node.jobs.scrubber import Scrubber, ScrubOptions
from brainctl.node.local.backend import LocalBackend, open_local
from tests.peers.servers import Brainctl, brainctl, etcdctl
from tests.unit.engine.model import author, write


class Timers(LocalBackend):
    """A backend whose timers are kept for the test to run."""

    timers: list[tuple[float, object]]

    def call_later(self, seconds: float, action: object) -> None:  # type: ignore[override]
        self.timers = [*getattr(self, "timers", []), (seconds, action)]


def test_a_pass_begins_with_each_interval(tmp_path: Path) -> None:
    async def main() -> None:
        local = open_local(Engine.open(tmp_path), asyncio.get_running_loop())
        backend = Timers.__new__(Timers)
        backend.__dict__.update(local.__dict__)
        backend.timers = []
        scrubber = Scrubber(backend, backend.engine, ManualClock(), ScrubOptions(60.0, 0), lambda: None)
        for passes in (1, 2):
            [(seconds, action)] = backend.timers
            backend.timers = []
            assert seconds == 60.0
            assert callable(action)
            action()
            scrubber.start()  # one at a time
            async with asyncio.timeout(120):
                await local._tasks.wait()
            assert not scrubber.state.running
            assert scrubber.state.passes == passes
        assert scrubber.state.findings == []
        Scrubber(backend, backend.engine, ManualClock(), ScrubOptions(0.0), lambda: None)
        assert len(backend.timers) == 1
        await local.close()

    asyncio.run(main())


def test_the_rate_bounds_a_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that stands still, all that was read is waited for, but for the last pieces."""
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    async def main() -> None:
        engine = Engine.open(tmp_path)
        for number in range(12):
            write(engine, author(engine.view.get, engine.view.revision, [(b"%d" % number, b"x" * 200_000)]))
        backend = open_local(engine, asyncio.get_running_loop())
        scrubber = Scrubber(backend, engine, ManualClock(), ScrubOptions(0, 1_000_000), lambda: None)
        monkeypatch.setattr("brainctl.node.jobs.scrubber.asyncio.sleep", wait)
        await scrubber._pass()
        monkeypatch.undo()
        await backend.close()
        assert scrubber.state.bytes > 2_400_000
        assert max(waited) == pytest.approx(scrubber.state.bytes / 1_000_000, rel=0.3)

    asyncio.run(main())


def fill(server: Brainctl) -> Path:
    """A closed segment with one key in it; its file."""
    for value in ("old", "x" * 3000):
        etcdctl(server.endpoint, "put", "key", value)
    etcdctl(server.endpoint, "compaction", "3")
    etcdctl(server.endpoint, "defrag")
    [packed] = (server.directory / "data").glob("*-1.seg")
    return packed


def rot(path: Path) -> int:
    """Flip a bit in the file under a running server; where."""
    at = path.read_bytes().index(b"xxxx") + 100
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"y")
    return at


def raised(server: Brainctl) -> bool:
    return "CORRUPT" in etcdctl(server.endpoint, "alarm", "list").stdout


def test_a_server_finds_rot_before_a_read_does(tmp_path: Path) -> None:
    with Brainctl(tmp_path, "--scrub-interval", "200ms") as server:
        path = fill(server)
        assert not raised(server)
        rot(path)
        assert server.child is not None
        server.child.wait_until(lambda: raised(server))
        log = server.child.output()
        assert f'a scrub has found damage finding="{path}: the records at offset' in log
        assert "corrupt" in etcdctl(server.endpoint, "put", "other", "1").stderr


def test_a_pass_on_request(tmp_path: Path) -> None:
    with Brainctl(tmp_path, "--scrub-interval", "0") as server:
        path = fill(server)
        sound = brainctl("store", "scrub", str(path.parent), "-w", "json")
        assert sound.returncode == 0, sound.stderr
        found = json.loads(sound.stdout)
        assert (found["state"], found["passes"]) == ("sound", "1")
        assert int(found["size_read"]) > 3000
        rot(path)
        damaged = brainctl("store", "scrub", "--endpoints", server.endpoint)
        assert damaged.returncode == ExitCode.DAMAGED
        assert str(path) in damaged.stderr
        assert raised(server)
        with urlopen(f"http://{server.endpoint}/metrics", timeout=120) as answer:
            metrics = answer.read().decode()
        assert "brainctl_scrub_damaged 1.0" in metrics
        assert "brainctl_scrub_passes_total 2.0" in metrics
    unserved = brainctl("store", "scrub", str(path.parent))
    assert unserved.returncode == ExitCode.INVALID_INPUT
    assert "store check" in unserved.stderr
