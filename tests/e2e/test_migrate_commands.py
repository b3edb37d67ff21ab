"""The commands migrate and verify as a user runs them: reports, exit codes, sentences."""

import contextlib
import json
import os
import pty
import signal
import subprocess
from base64 import b64encode
from itertools import pairwise
from pathlib import Path

import pytest

from brainctl.tikv.key_codec import MAX_KEY
from tests.conftest import NewBrainctl, NewEtcd
from tests.peers.servers import Etcd, Server, brainctl, brainctl_argv, clean_environment, etcdctl


def fill(server: Server, count: int = 300) -> None:
    """Keys with history, one of them deleted, one on a lease."""
    for first in range(0, count, 50):
        puts = "".join(f"put /k/{n:04} v{n}\n" for n in range(first, first + 50))
        assert etcdctl(server.endpoint, "txn", stdin=f"\n{puts}\n\n").stdout.startswith("SUCCESS")
    etcdctl(server.endpoint, "put", "/k/0001", "again")
    etcdctl(server.endpoint, "del", "/k/0002")
    lease = etcdctl(server.endpoint, "lease", "grant", "3600").stdout.split()[1]
    etcdctl(server.endpoint, "put", "/k/leased", "v", "--lease", lease)


@pytest.fixture
def source(new_etcd: NewEtcd) -> Etcd:
    server = new_etcd()
    fill(server)
    return server


def test_a_migration_into_a_directory(source: Etcd, tmp_path: Path) -> None:
    url, target = f"etcd://{source.endpoint}", f"file://{tmp_path / 'target'}"
    done = brainctl("migrate", "--from", url, "--to", target)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("synced at revision ")
    assert lines[1:4] == [f"  source   {url}", f"  target   {target}", "  history  from revision 1"]
    progress = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["kind"] for line in progress} == {"progress"}
    assert progress[-1]["phase"] == "synced"
    assert progress[-1]["lag_revisions"] == 0
    same = brainctl("verify", "--from", url, "--to", target, "-w", "json")
    assert same.returncode == 0, same.stderr
    report = json.loads(same.stdout)
    assert (report["equal"], report["keys"], report["leases"], report["differences"]) == (True, 300, 1, [])


def test_a_cutover_from_a_brainctl_server(new_brainctl: NewBrainctl, tmp_path: Path) -> None:
    server = new_brainctl()
    fill(server)
    arguments = ("--from", f"etcd://{server.endpoint}", "--to", f"file://{tmp_path / 'target'}")
    hooks = ("--freeze-hook", f"echo stopping; echo $BRAINCTL_PHASE > {tmp_path}/hook")
    done = brainctl("migrate", *arguments, "--cutover", *hooks, "-w", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["phase"], report["reason"]) == ("committed", "")
    assert (tmp_path / "hook").read_text() == "freezing\n"
    again = brainctl("migrate", *arguments, "--cutover", "--writers-are-stopped")
    assert again.returncode == 0, again.stderr
    assert "was cut over at revision" in again.stderr
    assert brainctl("migrate", *arguments).returncode == 14


def test_a_cutover_is_given_up_when_its_hook_fails(source: Etcd, tmp_path: Path) -> None:
    arguments = ("--from", f"etcd://{source.endpoint}", "--to", f"file://{tmp_path / 'target'}")
    done = brainctl("migrate", *arguments, "--cutover", "--freeze-hook", "exit 3")
    assert done.returncode == 1
    assert "the cutover was given up: the hook 'exit 3' ended with exit code 3" in done.stderr
    assert brainctl("migrate", *arguments).returncode == 0


def test_differences_are_listed(source: Etcd, tmp_path: Path) -> None:
    arguments = ("--from", f"etcd://{source.endpoint}", "--to", f"file://{tmp_path / 'target'}")
    assert brainctl("migrate", *arguments).returncode == 0
    etcdctl(source.endpoint, "put", "/k/0003", "newer")
    assert brainctl("put", "--store", f"file://{tmp_path / 'target'}", "/k/0003", "other").returncode == 0
    done = brainctl("verify", *arguments)
    assert done.returncode == 7
    assert done.stdout.splitlines()[0] == "different key /k/0003: value"
    done = brainctl("verify", *arguments, "-w", "json")
    assert done.returncode == 7
    expected = {"kind": "different-key", "key": b64encode(b"/k/0003").decode(), "fields": ["value"]}
    assert json.loads(done.stdout)["differences"] == [expected]
    resumed = brainctl("migrate", *arguments)
    assert resumed.returncode == 3
    assert "something else wrote to it" in resumed.stderr
    assert brainctl("migrate", *arguments, "--overwrite", "--yes").returncode == 0
    assert brainctl("verify", *arguments).returncode == 0


def test_following_ends_in_order_and_goes_on(source: Etcd, tmp_path: Path) -> None:
    arguments = ["--from", f"etcd://{source.endpoint}", "--to", f"file://{tmp_path / 'target'}"]
    process = subprocess.Popen(
        [*brainctl_argv(), "migrate", *arguments, "--follow", "-w", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        text=True,
    )
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if json.loads(line)["phase"] == "synced":
                break
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert json.loads(output)["phase"] == "synced"
    again = brainctl("migrate", *arguments, "-w", "json")
    assert json.loads(again.stdout)["resumed"] is True


def test_a_resumed_process_reports_the_whole_and_its_part(source: Etcd, tmp_path: Path) -> None:
    flags = ("--from", f"etcd://{source.endpoint}", "--to", f"file://{tmp_path / 'target'}", "--history", "none")
    first = json.loads(brainctl("migrate", *flags, "-w", "json").stdout)
    assert (first["keys"], first["process_keys"], first["process_events"]) == (300, 300, 0)
    etcdctl(source.endpoint, "put", "/k/0003", "newer")
    second = json.loads(brainctl("migrate", *flags, "-w", "json").stdout)
    assert (second["keys"], second["events"]) == (300, 1)
    assert (second["process_keys"], second["process_events"]) == (0, 1)
    third = brainctl("migrate", *flags).stdout
    assert f"copied   300 keys as of revision {first['base_revision']}, " in third
    assert "MB (0 keys by this process)\n" in third
    assert "applied  1 events since (0 by this process)\n" in third


def test_a_process_that_is_overtaken_ends(source: Etcd, tikv_url: str) -> None:
    arguments = ["--from", f"etcd://{source.endpoint}", "--to", tikv_url]
    process = subprocess.Popen(
        [*brainctl_argv(), "migrate", *arguments, "--follow"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        text=True,
    )
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if json.loads(line)["phase"] == "synced":
                break
        assert brainctl("migrate", *arguments).returncode == 0
        etcdctl(source.endpoint, "put", "/k/0003", "newer")
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 9, errors
    assert brainctl("migrate", *arguments).returncode == 0
    assert brainctl("verify", *arguments).returncode == 0


def test_a_target_with_data_is_refused(source: Etcd, tmp_path: Path) -> None:
    target = f"file://{tmp_path / 'target'}"
    assert brainctl("store", "create", target).returncode == 0
    assert brainctl("put", "--store", target, "mine", "v").returncode == 0
    arguments = ("--from", f"etcd://{source.endpoint}", "--to", target)
    refused = brainctl("migrate", *arguments)
    assert refused.returncode == 14
    assert refused.stderr == "Error: the target holds data that no migration has written; --overwrite removes it\n"
    asked = brainctl("migrate", *arguments, "--overwrite")
    assert asked.returncode == 14
    assert asked.stderr == f"Error: {target} holds data (revision 2), which --overwrite removes: add --yes\n"
    code, said = at_a_terminal("n\n", "migrate", *arguments, "--overwrite")
    assert (code, "which --overwrite removes. Go on? [y/N]" in said, "nothing was changed" in said) == (14, True, True)
    assert brainctl("get", "--store", target, "mine").stdout == "mine\nv\n"
    assert at_a_terminal("y\n", "migrate", *arguments, "--overwrite")[0] == 0
    assert brainctl("get", "--store", target, "mine").stdout == ""


def at_a_terminal(answer: str, *argv: str) -> tuple[int, str]:
    """Run a command line at a terminal of its own, where a person answers; its exit code, and all that is shown."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*brainctl_argv(), *argv], stdin=theirs, stdout=theirs, stderr=theirs, env=clean_environment()
    ) as process:
        os.close(theirs)
        os.write(ours, answer.encode())
        shown = b""
        with contextlib.suppress(OSError):  # EIO once the other side is closed
            while data := os.read(ours, 1 << 16):
                shown += data
    os.close(ours)
    return process.returncode, shown.decode()


def test_a_key_that_the_target_does_not_take_is_named_before_the_copy(
    source: Etcd, tikv_url: str, tmp_path: Path
) -> None:
    long = "/long/" + "k" * MAX_KEY
    etcdctl(source.endpoint, "put", long, "v")
    url, file = f"etcd://{source.endpoint}", tmp_path / "snapshot"
    assert etcdctl(source.endpoint, "snapshot", "save", str(file)).returncode == 0
    for origin in (url, f"snapshot://{file}"):
        refused = brainctl("migrate", "--from", origin, "--to", tikv_url)
        assert refused.returncode == 4, refused.stderr
        assert "takes keys of up to 7000 bytes, and the key of the source that begins with /long/kkk" in refused.stderr
        assert "has 7006: a directory (file://) takes it, or delete it at the source" in refused.stderr
        assert "nothing was ever written there" in brainctl("store", "info", tikv_url).stderr
    assert brainctl("migrate", "--from", url, "--to", f"file://{tmp_path / 'target'}").returncode == 0
    etcdctl(source.endpoint, "del", long)
    streamed = brainctl("migrate", "--from", url, "--to", tikv_url)
    assert streamed.returncode == 4, "it is in the history"
    assert "the key that begins with /long/kkk" in streamed.stderr
    assert "copy with --history none --overwrite" in streamed.stderr
    done = brainctl("migrate", "--from", url, "--to", tikv_url, "--history", "none", "--overwrite", "--yes")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ((), 128, "migrate needs --from STORE and --to STORE"),
        (("--from", "etcd", "--to", "tikv"), 128, "--to tikv: where?"),
        (("--from", "etcd", "--to", "redis"), 128, "is no store"),
        (("--from", "etcd", "--to", "etcd://127.0.0.1:1"), 4, "would not keep revisions"),
        (("--from", "file:///nowhere", "--to", "file://{tmp}/t"), 3, "there is no store in /nowhere"),
        (("--from", "etcd://127.0.0.1:1", "--to", "file://{tmp}/t", "--retry-for", "0"), 2, "cannot connect"),
        (("--from", "etcd", "--to", "file://{tmp}/t", "--follow", "--cutover"), 128, "exclude each other"),
        (("--from", "etcd", "--to", "file://{tmp}/t", "--history", "some"), 128, "all or none"),
        (("--from", "etcd", "--to", "file://{tmp}/t", "--cutover"), 128, "--cutover needs --freeze-hook COMMAND"),
        (("--from", "etcd", "--to", "file://{tmp}/t", "--writers-are-stopped"), 128, "is for --cutover"),
    ],
)
def test_one_clear_sentence(arguments: tuple[str, ...], code: int, sentence: str, tmp_path: Path) -> None:
    done = brainctl("migrate", *(word.format(tmp=tmp_path) for word in arguments))
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_directory_that_is_served_is_no_target(source: Etcd, new_brainctl: NewBrainctl, tmp_path: Path) -> None:
    server = new_brainctl(store=f"file://{tmp_path / 'served'}")
    done = brainctl("migrate", "--from", f"etcd://{source.endpoint}", "--to", f"file://{tmp_path / 'served'}")
    assert done.returncode == 11
    assert str(server.pid) in done.stderr


def test_through_tikv_and_back(source: Etcd, tikv_url: str, tmp_path: Path) -> None:
    stores = [f"etcd://{source.endpoint}", tikv_url, f"file://{tmp_path / 'one'}", f"file://{tmp_path / 'two'}"]
    for origin, target in pairwise(stores):
        done = brainctl("migrate", "--from", origin, "--to", target)
        assert done.returncode == 0, done.stderr
    done = brainctl("verify", "--from", stores[0], "--to", stores[-1])
    assert done.returncode == 0, done.stdout


def test_sides_without_a_common_revision_are_named(source: Etcd, tmp_path: Path) -> None:
    arguments = ("--from", f"etcd://{source.endpoint}", "--to", f"file://{tmp_path / 'target'}")
    assert brainctl("migrate", *arguments).returncode == 0
    etcdctl(source.endpoint, "put", "/k/0003", "u")
    revision = json.loads(etcdctl(source.endpoint, "put", "/k/0003", "v", "-w", "json").stdout)["header"]["revision"]
    etcdctl(source.endpoint, "compaction", str(revision))
    done = brainctl("verify", *arguments)
    assert done.returncode == 8
    assert done.stderr.startswith("Error: no revision can be read on both sides: ")
    # The stream behind the watermark is gone as well: the copy starts over by itself.
    done = brainctl("migrate", *arguments, "-w", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["resyncs"], report["base_revision"]) == (1, str(revision))
    assert brainctl("verify", *arguments).returncode == 0
