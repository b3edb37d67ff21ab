"""brainctl verify on parts of stores, on copies that were moved, on files, and against lists of keys."""

import asyncio
import io
import json
import os
import re
import shlex
import shutil
import subprocess
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from brainctl.cli.main import run
from brainctl.clock import ManualClock
from brainctl.errors import BrainctlError, ExitCode
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.registry import open_store
from brainctl.verify.checkpoint import CheckpointFile, Reached
from brainctl.verify.narrow import narrow
from tests.conftest import NewBrainctl, NewEtcd
from tests.peers.servers import brainctl_argv, clean_environment, etcdctl

ROOT = Path(__file__).resolve().parents[2]
KEYS = 30


class Done(NamedTuple):
    """What a command has left."""

    returncode: int
    stdout: str
    stderr: str


class Shell:
    """Runs commands in this process: starting one takes longer than they do."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *argv: str) -> Done:
        self._capture.readouterr()
        code = run(["verify", *argv])
        return Done(code, *self._capture.readouterr())

    def report(self, *argv: str) -> dict[str, Any]:
        done = self(*argv, "-w", "json")
        report: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if report["equal"] else ExitCode.DIFFERENT), done.stderr
        return report

    def kinds(self, *argv: str) -> list[str]:
        return [entry["kind"] for entry in self.report(*argv)["differences"]]


@pytest.fixture
def shell(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("BRAINCTL_", "ETCD"))]:
        monkeypatch.delenv(name)
    return Shell(capfd)


def put(url: str, *pairs: tuple[str, str]) -> None:
    """Write keys in one revision; the store is created if there is none."""

    async def write() -> None:
        store = await open_store(url, EtcdTarget(()), ManualClock(), create=True)
        puts = [pb.PutRequest(key=key.encode(), value=value.encode()) for key, value in pairs]
        await store.txn(pb.TxnRequest(success=[pb.RequestOp(request_put=one) for one in puts]))
        await store.close()

    asyncio.run(write())


@pytest.fixture
def stores(tmp_path: Path) -> tuple[str, str]:
    """Two equal directories."""
    left, right = f"file://{tmp_path}/left", f"file://{tmp_path}/right"
    put(left, *((f"/a/{n:02}", f"v{n}") for n in range(KEYS)), ("/b/1", "one"))
    shutil.copytree(tmp_path / "left", tmp_path / "right")
    return left, right


def test_a_part_of_the_stores(shell: Shell, stores: tuple[str, str]) -> None:
    left, right = stores
    put(left, ("/a/07", "here"), ("/b/1", "two"))
    put(right, ("/a/07", "there"), ("/b/1", "two"))
    sides = ("--from", left, "--to", right)
    assert shell.kinds(*sides) == ["different-key"]
    assert shell.kinds(*sides, "--prefix", "/b/") == []
    assert shell.kinds(*sides, "--exclude", "/a/0") == []
    assert shell.kinds(*sides, "--exclude", "/b", "--exclude", "/c") == ["different-key"]
    assert shell.kinds(*sides, "--prefix", "/a/", "--exclude", "/a/07") == []


def test_a_copy_that_was_moved(shell: Shell, stores: tuple[str, str], tmp_path: Path) -> None:
    left, _ = stores
    moved = f"file://{tmp_path}/moved"
    put(moved, ("/else", "1"))
    put(moved, *((f"/new/a/{n:02}", f"v{n}") for n in range(KEYS)))
    sides = ("--from", left, "--to", moved, "--map-prefix", "/a/=/new/a/")
    assert shell.kinds(*sides, "--values-only") == []
    assert shell.kinds(*sides)[:2] == ["extra-revisions", "missing-key"], "at a revision that it had before them"
    put(moved, ("/new/a/03", "w"), ("/new/a/extra", "w"))
    shown = shell.report(*sides, "--values-only")["differences"]
    assert [(entry["kind"], entry["key"]) for entry in shown] == [
        ("different-key", "L2EvMDM="),
        ("extra-key", "L2EvZXh0cmE="),
    ]
    done = shell(*sides, "--values-only", "--prefix", "/a/1")
    assert (done.returncode, done.stdout.split(":")[1].split(",")[0]) == (0, " 10 keys"), done.stdout


def test_a_list_of_keys_stands_for_the_store(shell: Shell, stores: tuple[str, str], tmp_path: Path) -> None:
    left, right = stores
    file = str(tmp_path / "keys.jsonl")
    done = shell("--from", left, "--export", file)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{KEYS + 1} keys and 0 leases at revision 2 listed in {file}, state hash ")
    assert len(Path(file).read_text().splitlines()) == KEYS + 3
    assert shell.kinds("--from", file, "--to", right) == []
    put(right, ("/a/07", "other"))
    assert shell.kinds("--from", file, "--to", right) == [], "at the revision of the list"
    again = shell("--from", left, "--export", file)
    assert again.returncode == ExitCode.NOT_EMPTY
    assert "there is a file" in again.stderr
    put(left, ("/a/07", "here"))
    later = str(tmp_path / "later")
    assert shell("--from", left, "--export", later).returncode == 0
    assert shell.kinds("--from", later, "--to", right) == ["different-key"]
    assert shell.kinds("--from", right, "--to", later) == ["different-key"]


def test_a_list_of_a_part_is_compared_with_that_part(shell: Shell, stores: tuple[str, str], tmp_path: Path) -> None:
    left, right = stores
    file = str(tmp_path / "part")
    assert shell("--from", left, "--export", file, "--prefix", "/b/").returncode == 0
    refused = shell("--from", file, "--to", right)
    assert refused.returncode == ExitCode.INVALID_INPUT
    assert "lists the keys of --prefix /b/: compare the same keys" in refused.stderr
    assert shell.kinds("--from", file, "--to", right, "--prefix", "/b/") == []


def test_control_a_damaged_list_is_noticed(shell: Shell, stores: tuple[str, str], tmp_path: Path) -> None:
    left, right = stores
    file = tmp_path / "keys"
    assert shell("--from", left, "--export", str(file)).returncode == 0
    lines = file.read_text().splitlines(keepends=True)
    flipped = lines[5].replace(json.loads(lines[5])["leaf"][:8], "00000000")
    damages = {
        "cut": lines[:-1],
        "a line less": lines[:5] + lines[6:],
        "turned": [*lines[:5], lines[6], lines[5], *lines[7:]],
        "changed": [*lines[:5], flipped, *lines[6:]],
    }
    for what, damaged in damages.items():
        file.write_text("".join(damaged))
        done = shell("--from", str(file), "--to", right)
        assert done.returncode == ExitCode.DAMAGED, what
        assert f"{file} is no whole list of keys" in done.stderr, what


def test_snapshots_and_data_directories(shell: Shell, new_etcd: NewEtcd, tmp_path: Path) -> None:
    etcd = new_etcd()
    for number in range(5):
        etcdctl(etcd.endpoint, "put", f"/k/{number}", "v")
    snapshot = str(tmp_path / "snapshot.db")
    assert etcdctl(etcd.endpoint, "snapshot", "save", snapshot).returncode == 0
    url = f"etcd://{etcd.endpoint}"
    assert shell.kinds("--from", url, "--to", snapshot) == []
    etcdctl(etcd.endpoint, "put", "/k/3", "changed")
    assert shell.kinds("--from", snapshot, "--to", url) == []
    busy = shell("--from", str(etcd.data_dir), "--to", snapshot)
    assert busy.returncode == ExitCode.IN_USE
    assert "is in use by another process" in busy.stderr
    etcd.stop()
    before = {path: path.read_bytes() for path in etcd.data_dir.rglob("*") if path.is_file()}
    assert shell.kinds("--from", str(etcd.data_dir), "--to", snapshot) == []
    assert shell.kinds("--from", snapshot, "--to", f"file://{etcd.data_dir}") == []
    assert {path: path.read_bytes() for path in etcd.data_dir.rglob("*") if path.is_file()} == before
    empty = tmp_path / "empty"
    empty.touch()
    refused = shell("--from", str(empty), "--to", snapshot)
    assert (refused.returncode, refused.stderr) == (ExitCode.INVALID_INPUT, f"Error: {empty} is empty\n")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ((), "needs --from STORE, and --to STORE, --own-log or --export FILE"),
        (("--from", "a"), "needs --from STORE, and --to STORE, --own-log or --export FILE"),
        (
            ("--from", "a", "--to", "b", "--export", "c"),
            "needs --from STORE, and --to STORE, --own-log or --export FILE",
        ),
        (("--from", "a", "--to", "b", "--map-prefix", "c"), "--map-prefix needs OLD=NEW"),
        (("--from", "a", "--to", "b", "--map-prefix", "c=d", "--prefix", "e"), "no key starts both with"),
        (("--from", "a", "--export", "b", "--values-only"), "are for a comparison, not for --export"),
        (("--members", "--from", "a"), "without --from"),
        (("--from", "a", "--own-log", "--prefix", "b"), "--own-log compares whole stores"),
        (("--from", "a", "--to", "b", "--history", "--values-only"), "neither moved copies nor values only"),
        (("--from", "a", "--to", "b", "--fix", "--follow"), "go with one comparison of --from and --to"),
        (("--from", "a", "--to", "b", "--checkpoint", "c", "--values-only"), "needs one revision to go on at"),
        (("--from", "nothing", "--to", "b"), "'nothing' is no store"),
    ],
)
def test_a_command_line_that_says_not_what_to_compare(shell: Shell, flags: tuple[str, ...], text: str) -> None:
    done = shell(*flags)
    assert done.returncode == ExitCode.BAD_ARGS
    assert text in done.stderr


def test_every_revision_is_compared(shell: Shell, stores: tuple[str, str]) -> None:
    left, right = stores
    for url, value in ((left, "here"), (right, "there")):
        put(url, ("/a/07", value))
        put(url, ("/a/07", "the same"))
    sides = ("--from", left, "--to", right)
    assert shell.kinds(*sides) == []
    report = shell.report(*sides, "--history")
    assert report["differences"] == [
        {"kind": "different-change", "revision": "3", "key": "L2EvMDc=", "fields": ["value"]}
    ]
    assert (report["oldest_revision"], report["revisions"]) == ("1", 3)
    text = shell(*sides, "--history").stdout
    assert "different change of /a/07 in revision 3: value\n" in text
    assert "3 revisions after 1, " in text
    assert shell.report("--from", left, "--own-log")["equal"]


def test_members_are_compared_with_the_first(shell: Shell, new_brainctl: NewBrainctl) -> None:
    servers = [new_brainctl() for _ in range(3)]
    for number, server in enumerate(servers):
        put(f"etcd://{server.endpoint}", ("/k", "one" if number < 2 else "two"))
    endpoints = ",".join(server.endpoint for server in servers)
    done = shell("--members", "--endpoints", endpoints, "-w", "json")
    first, second = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, first["equal"], second["equal"]) == (ExitCode.DIFFERENT, True, False)
    assert (first["from"], second["to"]) == (f"etcd://{servers[0].endpoint}", f"etcd://{servers[2].endpoint}")
    text = shell("--members", "--endpoints", endpoints).stdout
    assert f"etcd://{servers[0].endpoint} and etcd://{servers[2].endpoint}:\ndifferent key /k: value\n" in text
    two = ",".join(server.endpoint for server in servers[:2])
    assert shell("--members", "--endpoints", two).returncode == 0
    alone = shell("--members", "--endpoints", servers[0].endpoint)
    assert (alone.returncode, "name two at least" in alone.stderr) == (ExitCode.BAD_ARGS, True)


def test_it_goes_on_until_a_difference(new_brainctl: NewBrainctl) -> None:
    left, right = (f"etcd://{new_brainctl().endpoint}" for _ in range(2))
    put(left, ("/k", "one"))
    put(right, ("/k", "one"))
    argv = ["verify", "--from", left, "--to", right, "--follow", "--interval", "100ms", "--exit-on-difference"]
    child = subprocess.Popen(
        [*brainctl_argv(), *argv, "-w", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()
    )
    try:
        assert child.stdout is not None
        for _ in range(2):
            assert json.loads(child.stdout.readline())["equal"]
        put(right, ("/k", "two"))
        put(left, ("/k", "three"))
        rest, said = child.communicate(timeout=120)
    finally:
        child.kill()
    assert not json.loads(rest.splitlines()[-1])["equal"]
    assert child.returncode == ExitCode.DIFFERENT
    assert b"difference" in said


def test_each_round_writes_its_metrics(shell: Shell, stores: tuple[str, str], tmp_path: Path) -> None:
    left, right = stores
    page, labels = tmp_path / "verify.prom", {"from": left, "to": right}

    def value(name: str, **more: str) -> float | None:
        families = text_string_to_metric_families(page.read_text())
        samples = [sample for family in families for sample in family.samples]
        of = {**labels, **more} if name != "rounds_total" else {}
        return next((one.value for one in samples if (one.name, one.labels) == (f"brainctl_verify_{name}", of)), None)

    assert shell("--from", left, "--to", right, "--metrics", str(page)).returncode == 0
    assert (value("differences"), value("rounds_total")) == (0, 1)
    put(left, ("/a/07", "here"))
    report = shell.report("--from", left, "--to", right, "--metrics", str(page))
    assert value("differences") == report["different"] > 0
    assert value("newest_revision", store="from") == value("newest_revision", store="to") + 1
    assert value("keys") == report["keys"]
    done = shell("--from", left, "--to", right, "--metrics", str(tmp_path / "no" / "verify.prom"))
    assert done.returncode == ExitCode.INVALID_INPUT
    assert "cannot write the metrics" in done.stderr


def test_the_page_is_whole(shell: Shell, stores: tuple[str, str], tmp_path: Path) -> None:
    left, right = stores
    put(left, ("/a/<b>&", "here"))
    put(right, ("/a/07", "there"))
    page = tmp_path / "report.html"
    assert shell("--from", left, "--to", right, "--html", str(page), "--rate", "20MB").returncode == ExitCode.DIFFERENT
    text = page.read_text()
    assert "missing key   /a/&lt;b&gt;&amp;" in text
    assert f"{left} and {right}: different" in text
    assert "http" not in text, "it needs no other file"
    tags = Tags()
    tags.feed(text)
    assert tags.open == []


class Tags(HTMLParser):
    """The elements that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def commands_of_the_page() -> list[str]:
    text = (ROOT / "docs" / "verification.md").read_text().partition("## Comparing stores")[2]
    return re.findall(r"^    (brainctl verify .*)$", text, re.MULTILINE)


def test_the_commands_of_the_page_do_what_it_says(
    shell: Shell, new_etcd: NewEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    etcd = new_etcd()
    keys = [(f"/registry/{n}", "v") for n in range(5)]
    for url in (f"etcd://{etcd.endpoint}", f"file://{tmp_path}/copy"):
        put(url, *keys, *((key.replace("/registry/", "/mirror/"), value) for key, value in keys))
    assert etcdctl(etcd.endpoint, "snapshot", "save", "snapshot.db").returncode == 0
    assert etcdctl(etcd.endpoint, "put", "/registry/events/1", "v").returncode == 0
    assert etcdctl(etcd.endpoint, "del", "/registry/events/1").returncode == 0
    put(f"file://{tmp_path}/copy", ("/registry/events/1", "v"))
    delete(f"file://{tmp_path}/copy", "/registry/events/1")
    ran = 0
    for line in commands_of_the_page():
        here = line.replace("etcd.example:2379", etcd.endpoint).replace("etcd2.example:2379", etcd.endpoint)
        argv = shlex.split(here)[2:]
        if "--follow" in argv:
            continue  # test_it_goes_on_until_a_difference
        done = shell(*argv)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        ran += 1
    assert ran == 12


def delete(url: str, key: str) -> None:
    async def write() -> None:
        store = await open_store(url, EtcdTarget(()), ManualClock())
        await store.delete_range(pb.DeleteRangeRequest(key=key.encode()))
        await store.close()

    asyncio.run(write())


def test_it_is_mended_after_a_confirmation(
    shell: Shell, stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = stores
    put(left, ("/a/07", "here"), ("/new", "n"))
    put(right, ("/a/07", "there"), ("/extra", "x"))
    sides = ("--from", left, "--to", right)
    shown = ["put    /a/07 (4 bytes)", "delete /extra", "put    /new (1 bytes)"]
    asked = shell(*sides, "--fix")
    assert asked.stderr.splitlines() == [*shown, f"Error: --fix writes 3 keys of {right}: add --yes"]
    monkeypatch.setattr("brainctl.commands.verify.fixing.sys.stdin", Answering("n\n"))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    refused = shell(*sides, "--fix")
    assert refused.returncode == ExitCode.DIFFERENT
    assert refused.stderr.endswith("Go on? [y/N] Error: nothing was changed\n")
    assert shell.kinds(*sides) == ["different-key", "extra-key", "missing-key"]
    monkeypatch.setattr("brainctl.commands.verify.fixing.sys.stdin", Answering("y\n"))
    done = shell(*sides, "--fix")
    assert (done.returncode, done.stderr.endswith("3 keys written; compare again\n")) == (0, True), done
    assert shell.kinds(*sides, "--values-only") == []
    more = shell(*sides, "--fix", "--yes", "--max-lag", "9")
    assert more.returncode == ExitCode.DIFFERENT
    assert "differences are not of values or leases of keys, or repaired already: nothing to write" in more.stderr


class Answering(io.StringIO):
    """A terminal at which somebody has typed."""

    def isatty(self) -> bool:
        return True


def test_a_file_is_not_mended(shell: Shell, stores: tuple[str, str], tmp_path: Path) -> None:
    left, right = stores
    file = str(tmp_path / "list")
    put(right, ("/a/07", "there"))
    put(left, ("/a/07", "here"))
    assert shell("--from", left, "--export", file).returncode == 0
    for sides, text in (
        (("--from", right, "--to", file), "--fix writes to the store of --to, which is a file"),
        (("--from", file, "--to", right), "--fix takes values from --from, which is a list without values"),
    ):
        refused = shell(*sides, "--fix", "--yes")
        assert (refused.returncode, text in refused.stderr) == (ExitCode.INVALID_INPUT, True), refused


def test_every_difference_is_a_line_of_a_file(
    shell: Shell, stores: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brainctl.verify.compare.LISTED", 10)
    left, right = stores
    put(left, *((f"/many/{n:02}", "v") for n in range(20)))
    put(right, ("/one", "v"))
    file = tmp_path / "differences"
    report = shell.report("--from", left, "--to", right, "--differences", str(file))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == report["different"] == 21
    assert lines[:10] == report["differences"]


def test_a_comparison_goes_on_where_it_stopped(
    shell: Shell, stores: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brainctl.commands.verify.progress_file.PAUSE", 0.0)
    monkeypatch.setattr("brainctl.verify.keys.narrow", partial(narrow, keys=4))
    left, right = stores
    put(left, ("/a/07", "here"), ("/a/25", "here"))
    put(right, ("/a/07", "there"), ("/a/25", "there"))
    file = tmp_path / "progress"
    sides = ("--from", left, "--to", right, "--checkpoint", str(file))
    whole = shell.report(*sides)
    assert not file.exists(), "it was complete"
    reached: list[Reached] = []

    def stop(self: CheckpointFile, state: Reached) -> None:
        shown(self, state)
        reached.append(state)
        if state.place > b"/a/12":
            raise BrainctlError("killed here")

    shown = CheckpointFile.write
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointFile, "write", stop)
        assert shell(*sides).returncode == ExitCode.ERROR
    assert (reached[-1].different, file.exists()) == (1, True)
    before = list(reached)
    other = shell("--from", left, "--to", left, "--checkpoint", str(file))
    assert (other.returncode, "is of another comparison" in other.stderr) == (ExitCode.INVALID_INPUT, True)

    def note(self: CheckpointFile, state: Reached) -> None:
        shown(self, state)
        reached.append(state)

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointFile, "write", note)
        again = shell.report(*sides)
    assert min(state.place for state in reached[len(before) :]) > before[-1].place, "nothing was compared twice"
    del again["seconds"], whole["seconds"]
    assert again == whole
    assert not file.exists()
    file.write_text("{}")
    broken = shell(*sides)
    assert (broken.returncode, "is no checkpoint" in broken.stderr) == (ExitCode.INVALID_INPUT, True)
