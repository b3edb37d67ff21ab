"""The library: its names, what loading it costs, and the programs in docs/library.md."""

import asyncio
import base64
import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import brainctl
from brainctl.backup.etcd_database import Row
from brainctl.errors import InvalidInput
from brainctl.etcdpb.kv_pb2 import KeyValue
from brainctl.migrate.fixed_source import Content
from brainctl.migrate.target import StoreTarget
from brainctl.stores.registry import open_replica
from tests.conftest import NewEtcd
from tests.peers.servers import brainctl as run_brainctl
from tests.peers.servers import clean_environment, etcdctl

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def python(*argv: str) -> str:
    done = subprocess.run(
        [sys.executable, *argv], capture_output=True, text=True, check=False, timeout=300, env=clean_environment()
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def programs(tmp_path: Path) -> list[tuple[Path, str]]:
    """Each program of the page as a file, and the output that the page shows behind it."""
    found = [match.groups() for match in BLOCK.finditer((ROOT / "docs/library.md").read_text())]
    assert [kind for kind, _ in found] == ["python", "text"] * 3
    for number, (_, program) in enumerate(found[::2]):
        (tmp_path / f"{number}.py").write_text(program)
    return [(tmp_path / f"{number}.py", output) for number, (_, output) in enumerate(found[1::2])]


def test_every_name_is_there() -> None:
    for name in brainctl.__all__:
        found = getattr(brainctl, name)
        assert found.__name__ == name
        assert found.__doc__
        assert f"`{name}" in (ROOT / "docs/library.md").read_text()
    assert set(brainctl.__all__) <= set(dir(brainctl))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        brainctl.nothing  # noqa: B018
    assert (files("brainctl") / "py.typed").is_file()


def test_an_import_loads_nothing() -> None:
    loads = "import sys; before = set(sys.modules); import brainctl; {}; print(*sorted(set(sys.modules) - before))"
    heavy = {"grpc", "google", "typer", "rich", "asyncio", "tikv_client", "orjson"}
    loaded = {name.partition(".")[0] for name in python("-c", loads.format("pass")).split()}
    assert loaded & heavy == set()
    assert heavy & {name.partition(".")[0] for name in python("-c", loads.format("brainctl.Migrator")).split()}, (
        "control"
    )


def test_a_type_checker_knows_the_names(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import brainctl\nbrainctl.Migrator(1, 2)\nreveal_type(brainctl.Verifier('a', 'b'))\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={tmp_path / 'cache'}", str(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=tmp_path,
    )
    assert 'argument 1 to "Migrator" has incompatible type "int"' in done.stdout.replace("Argument", "argument")
    assert 'Revealed type is "brainctl.verify.verifier.Verifier"' in done.stdout


def test_the_first_program_of_the_page(programs: list[tuple[Path, str]], new_etcd: NewEtcd, tmp_path: Path) -> None:
    program, output = programs[0]
    source, target = f"etcd://{new_etcd().endpoint}", f"file://{tmp_path / 'copy'}"
    assert python(str(program), source, target) == output
    assert run_brainctl("get", "greeting", "--store", target).stdout == "greeting\nhello\n"


def test_the_second_program_of_the_page(programs: list[tuple[Path, str]], tmp_path: Path) -> None:
    program, output = programs[1]
    values = {"a/b": b"1", "c": b"\0two"}
    entries = [{"key": key, "flags": 0, "value": base64.b64encode(value).decode()} for key, value in values.items()]
    (tmp_path / "keys.json").write_text(json.dumps(entries))
    target = f"file://{tmp_path / 'copy'}"
    assert python(str(program), str(tmp_path / "keys.json"), target) == output
    assert run_brainctl("get", "", "--prefix", "--store", target).stdout == "a/b\n1\nc\n\0two\n"
    assert python(str(program), str(tmp_path / "keys.json"), target) == output, "it goes on"


def test_the_third_program_of_the_page(programs: list[tuple[Path, str]], new_etcd: NewEtcd, tmp_path: Path) -> None:
    program, output = programs[2]
    server, file = new_etcd(), tmp_path / "keys.json"
    for argv in (("put", "a", "1"), ("put", "b", "2"), ("del", "a")):
        assert etcdctl(server.endpoint, *argv).returncode == 0
    assert python(str(program), f"etcd://{server.endpoint}", str(file)) == output
    assert json.loads(file.read_text())["keys"] == {"b": "2"}
    for argv in (("put", "c", "3"), ("put", "b", "4"), ("del", "b")):
        assert etcdctl(server.endpoint, *argv).returncode == 0
    assert python(str(program), f"etcd://{server.endpoint}", str(file)) == output.replace("4", "7"), "it goes on"
    held = json.loads(file.read_text())
    assert (held["keys"], held["epoch"]) == ({"c": "3"}, 2)


def test_a_part_is_compared_and_its_history(tmp_path: Path) -> None:
    """The stores differ in a key outside of the part, and inside in a version that the newest state does not show."""
    urls = [f"file://{tmp_path / name}" for name in ("left", "right")]
    part = brainctl.Scope(prefix=b"/a/")

    async def differences(scope: brainctl.Scope, *, history: bool = False) -> int:
        return (await brainctl.Verifier(*urls, scope=scope, history=history).run()).different

    async def story() -> None:
        for url, value in zip(urls, (b"1", b"2"), strict=True):
            source = brainctl.FixedSource.of_keys("keys", {b"/a/key": b"v", b"/b/other": value})
            await brainctl.Migrator(source, url, brainctl.MigrateOptions(history=brainctl.History.ALL)).run()
        assert await differences(brainctl.Scope()) == 1
        assert await differences(part, history=True) == 0
        for url, first in zip(urls, (b"3", b"4"), strict=True):
            source = brainctl.FixedSource(content((b"v", first, b"v")), "keys")
            await brainctl.Migrator(source, url, brainctl.MigrateOptions(overwrite=True)).run()
        assert await differences(part) == 0
        assert await differences(part, history=True) == 1

    asyncio.run(story())


def content(values: tuple[bytes, ...]) -> Content:
    """One key with these values, one after the other."""
    rows = []
    for version, value in enumerate(values, 1):
        kv = KeyValue(key=b"/a/key", value=value, create_revision=2, mod_revision=version + 1, version=version)
        rows.append(Row(b"%b_%b" % ((version + 1).to_bytes(8), bytes(8)), kv.SerializeToString()))
    return Content(number=int.from_bytes(values[1]), compacted=2, newest=len(values) + 1, rows=rows)


def test_a_target_of_a_programs_own_is_not_cut_over_to(tmp_path: Path) -> None:
    source = brainctl.FixedSource.of_keys("keys", {b"k": b"v"})
    options = brainctl.MigrateOptions(goal=brainctl.Goal.CUTOVER)
    target = StoreTarget(asyncio.run(open_replica(f"file://{tmp_path / 'copy'}")))
    with pytest.raises(InvalidInput, match="cannot be compared with the source"):
        asyncio.run(brainctl.Migrator(source, target, options).run())
    asyncio.run(target.close())
