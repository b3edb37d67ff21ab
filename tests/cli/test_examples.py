"""Every command has an example in its help, and every example does what it says, on real servers."""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from select import select
from typing import NamedTuple

import pytest
from typer.core import TyperGroup

from brainctl.cli.examples import EXAMPLES
from brainctl.cli.main import COMMANDS, load
from brainctl.errors import ExitCode
from brainctl.etcdpb import rpc_pb2 as pb
from tests.peers.ports import free_port
from tests.peers.servers import Brainctl, Etcd, Playground, brainctl_argv, clean_environment
from tests.support.rpc import Remote

LEASE = 0x694D7A2F1C3B5E08
MEMBERS = ("member add", "member promote", "member update", "member remove", "move-leader")
"""They need a cluster of several members: tests/cli/test_members.py runs these commands."""
TOO_SLOW = {"check perf": 1, "check history": ExitCode.TOO_SLOW}
"""What tells that a loaded machine is too slow for the load."""
LASTING = {
    "brainctl watch /registry/pods/ --prefix": "PUT",
    "brainctl watch greeting --rev 2": "PUT",
    "brainctl watch greeting -- sh -c 'echo $ETCD_WATCH_KEY'": "greeting",
    "brainctl lease keep-alive 694d7a2f1c3b5e08": "lease 694d7a2f1c3b5e08 keepalived",
    "brainctl lock deploy": "deploy/",
    "brainctl elect primary host-a": "host-a",
    "brainctl elect primary --listen": "",
    "brainctl serve --data-dir data --listen 127.0.0.1:2379": "ready",
    "brainctl serve --store tikv://pd.example:2379/prod --listen 0.0.0.0:2379": "ready",
    "brainctl migrate --from etcd://etcd.example:2379 --to tikv://pd.example:2379/prod --follow": "synced",
    "brainctl make-mirror --no-dest-prefix etcd.example:2379": "",
}
"""Those that go on until Ctrl-C, and what they write first; nothing where nothing need happen."""


INPUT = {"brainctl txn --interactive": 'version("greeting") > "0"\n\nget greeting\n\n\n'}
"""What is typed."""


class World(NamedTuple):
    """Where the examples run, and what stands for the names in them."""

    directory: Path
    names: dict[str, str]
    environment: dict[str, str]
    api: Remote


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tikv: Playground) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("examples")
    with Brainctl(directory / "server") as server, Etcd(directory / "etcd") as etcd:
        api = Remote(server.endpoint)
        api.call("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest(ID=LEASE, TTL=600))
        executable = directory / "bin" / "brainctl"
        executable.parent.mkdir()
        executable.write_text(f'#!/bin/sh\nexec {shlex.join(brainctl_argv())} "$@"\n')
        executable.chmod(0o755)
        names = {
            "etcd.example:2379": etcd.endpoint,
            "pd.example:2379/prod": tikv.url(directory.name).partition("://")[2],
            "/var/lib/brainctl": str(directory / "server" / "data"),
            "flash probe /var/lib --seconds 2s": f"flash probe {directory} --seconds 1s --size 16M",
            "file://copy": f"file://{directory}/copy",
            "file:///tmp/new": f"file://{directory}/new",
            "--duration 30s": "--duration 1s --rate 50 --clients 5",
            "127.0.0.1:2379": f"127.0.0.1:{free_port()}",
            "0.0.0.0:2379": f"127.0.0.1:{free_port()}",
        }
        environment = {
            **clean_environment(),
            "PATH": f"{executable.parent}:{os.environ['PATH']}",
            "HOME": str(directory),
            "SHELL": "/bin/bash",
            "ETCDCTL_ENDPOINTS": server.endpoint,
        }
        (directory / "run.jsonl").write_text('{"brainctl_history":1}\n')
        yield World(directory, names, environment, api)


def shell(world: World, line: str) -> list[str]:
    for name, value in world.names.items():
        line = line.replace(name, value)
    return ["bash", "-c", line]


def run(world: World, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        shell(world, line),
        cwd=world.directory,
        env=world.environment,
        input=INPUT.get(line, ""),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_until(world: World, line: str, shown: str) -> None:
    """Run a line until it has written `shown`, while watched keys change, then end it by Ctrl-C."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        ["bash", "-c", f"exec {shell(world, line)[2]}"],
        cwd=world.directory,
        env=world.environment,
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        assert process.stdout is not None
        seen = ""
        while shown not in seen:
            if not select([process.stdout], [], [], 0.1)[0]:
                for key in (b"greeting", b"/registry/pods/a"):
                    world.api.call("/etcdserverpb.KV/Put", pb.PutRequest(key=key, value=b"hello"))
                continue
            more = os.read(process.stdout.fileno(), 4096).decode()
            assert more, seen
            seen += more
        process.send_signal(signal.SIGINT)
        assert process.wait(120) in (0, 1, 130, -signal.SIGINT), seen


def commands() -> Iterator[str]:
    for name in COMMANDS:
        loaded = load(name)
        if isinstance(loaded, TyperGroup):
            yield from (f"{name} {below}" for below in loaded.commands)
        else:
            yield name


def test_every_command_has_an_example() -> None:
    assert sorted(commands()) == sorted(EXAMPLES)
    assert all(EXAMPLES.values())


def test_every_example_works(world: World) -> None:
    """One test for all, since they build on each other."""
    for words, examples in EXAMPLES.items():
        for example in examples:
            if words in MEMBERS or words == "demo":  # tests/cli/test_demo.py runs the demo
                continue
            if words == "auth enable":
                assert run(world, "brainctl user add root:secret && brainctl user grant-role root root").returncode == 0
            if example.line in LASTING:
                run_until(world, example.line, LASTING[example.line])
                continue
            done = run(world, example.line)
            assert done.returncode in (0, TOO_SLOW.get(words, 0)), (example.line, done.stderr)


@pytest.mark.parametrize("words", MEMBERS)
def test_the_flags_of_the_others_exist(words: str) -> None:
    name, _, below = words.partition(" ")
    loaded = load(name)
    command = loaded.commands[below] if isinstance(loaded, TyperGroup) else loaded
    flags = {flag for parameter in command.params for flag in parameter.opts}
    used = [word for example in EXAMPLES[words] for word in example.line.split() if word.startswith("--")]
    assert set(used) <= flags


def test_help_ends_with_the_examples(world: World) -> None:
    shown = run(world, "brainctl put --help").stdout
    assert shown.rstrip().endswith("brainctl put greeting hi --prev-kv -w json")
