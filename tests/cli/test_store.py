"""brainctl store: on a directory, and through the server that holds it."""

import json
from pathlib import Path

import pytest

from brainctl.errors import ExitCode
from tests.peers.servers import Brainctl, brainctl


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two keys, one of them overwritten."""
    directory = tmp_path / "store"
    url = f"file://{directory}"
    assert brainctl("store", "create", url).returncode == 0
    for key, value in (("a", "one"), ("b", "two"), ("a", "three")):
        assert brainctl("put", key, value, "--store", url).returncode == 0
    return directory


def flip(directory: Path, what: bytes) -> int:
    """Flip a bit of a value in the log; the offset."""
    [path] = directory.glob("*.seg")
    content = bytearray(path.read_bytes())
    at = content.index(what)
    content[at] ^= 1
    path.write_bytes(content)
    return at


def test_a_dump_is_for_people_and_for_jq(store: Path) -> None:
    text = brainctl("store", "dump", str(store))
    assert text.returncode == 0, text.stderr
    [line] = [line for line in text.stdout.splitlines() if ' put key="b"' in line]
    assert line.startswith("00000001-0.seg:")
    assert " mod=3 " in line
    rows = [json.loads(line) for line in brainctl("store", "dump", str(store), "-w", "json").stdout.splitlines()]
    [row] = [row for row in rows if row["kind"] == "put" and row["key"] == "Yg=="]
    assert (row["file"], row["mod"], row["version"]) == ("00000001-0.seg", "3", "1")
    assert line.startswith(f"{row['file']}:{row['offset']}+{row['length']} put")
    assert len(rows) == len(text.stdout.splitlines())
    one = brainctl("store", "dump", str(store), "--file", "MANIFEST")
    assert one.stdout.count("\n") == 1
    assert one.stdout.startswith("MANIFEST:0")


def test_damage_is_dumped_and_repaired(store: Path, tmp_path: Path) -> None:
    at = flip(store, b"two")
    before = [path.read_bytes() for path in sorted(store.iterdir())]
    dump = brainctl("store", "dump", str(store))
    assert dump.returncode == ExitCode.DAMAGED
    [line] = [line for line in dump.stdout.splitlines() if " damaged " in line]
    first, length = map(int, line.split()[0].partition(":")[2].split("+"))
    assert first <= at < first + length
    done = brainctl("store", "repair", str(store), "--into", str(tmp_path / "new"))
    assert done.returncode == ExitCode.DIFFERENT
    assert f"lost: 00000001-0.seg:{first}+{length}: in revision 3" in done.stdout
    assert "incomplete: revision 4 with 1 keys" in done.stdout
    assert brainctl("store", "check", str(tmp_path / "new")).returncode == 0
    value = brainctl("get", "a", "--print-value-only", "--store", f"file://{tmp_path / 'new'}")
    assert value.stdout == "three\n"
    again = brainctl("store", "repair", str(store), "--into", str(tmp_path / "new"))
    assert again.returncode == ExitCode.NOT_EMPTY
    report = json.loads(brainctl("store", "repair", str(store), "--into", str(tmp_path / "json"), "-w", "json").stdout)
    assert [report["complete"], report["lost"][0]["first_revision"]] == [False, "3"]
    assert [path.read_bytes() for path in sorted(store.iterdir())] == before


def test_what_is_sound_is_repaired_whole(store: Path, tmp_path: Path) -> None:
    done = brainctl("store", "repair", str(store), "--into", str(tmp_path / "new"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("complete: revision 4")
    same = brainctl("store", "verify", str(store), str(tmp_path / "new"))
    assert same.returncode == 0, same.stdout
    for directory, key in ((store, "c"), (tmp_path / "new", "d")):
        brainctl("put", key, "", "--store", f"file://{directory}")
    assert brainctl("store", "verify", str(store), str(tmp_path / "new")).returncode == ExitCode.DIFFERENT


def test_space_is_given_back_offline(store: Path) -> None:
    done = brainctl("store", "compact", str(store), "-w", "json")
    assert json.loads(done.stdout)["compacted"] == "4"
    assert "has been compacted" in brainctl("get", "a", "--rev", "3", "--store", f"file://{store}").stderr
    done = brainctl("store", "defrag", str(store), "-w", "json")
    assert int(json.loads(done.stdout)["size"]) > 0
    assert brainctl("store", "check", str(store)).returncode == 0
    dump = brainctl("store", "dump", str(store)).stdout
    assert 'put key="a" mod=4' in dump
    assert 'put key="a" mod=2' not in dump


def test_through_the_server_that_holds_it(tmp_path: Path) -> None:
    with Brainctl(tmp_path) as server:
        data = str(tmp_path / "data")
        brainctl("put", "a", "1", "--endpoints", server.endpoint)
        brainctl("put", "a", "2", "--endpoints", server.endpoint)
        assert json.loads(brainctl("store", "compact", data, "2", "-w", "json").stdout)["compacted"] == "2"
        assert brainctl("store", "defrag", "--endpoints", server.endpoint).returncode == 0
        assert 'put key="a" mod=3' in brainctl("store", "dump", data).stdout
        assert brainctl("store", "repair", data, "--into", str(tmp_path / "new")).returncode == ExitCode.IN_USE
        busy = brainctl("store", "check", data)
        assert busy.returncode == ExitCode.IN_USE
        assert "store scrub" in busy.stderr


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("dump",), ExitCode.BAD_ARGS),
        (("dump", "etcd://127.0.0.1:1"), ExitCode.INVALID_INPUT),
        (("dump", "nowhere"), ExitCode.INVALID_INPUT),
        (("repair", "nowhere"), ExitCode.BAD_ARGS),
        (("repair", "nowhere", "--into", "new"), ExitCode.INVALID_INPUT),
        (("verify", "nowhere"), ExitCode.BAD_ARGS),
        (("defrag", "a", "b"), ExitCode.BAD_ARGS),
    ],
)
def test_mistakes(argv: tuple[str, ...], code: int) -> None:
    assert brainctl("store", *argv).returncode == code
