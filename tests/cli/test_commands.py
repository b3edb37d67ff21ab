"""The commands as a whole: flags, prefixes, generated files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperCommand, TyperGroup, TyperOption

from brainctl.cli.etcdctl_dialect import BOOLEANS, suggestions, translate
from brainctl.cli.group import match
from brainctl.cli.main import COMMANDS, load, root
from tests.peers.servers import brainctl, brainctl_argv, clean_environment

ROOT = Path(__file__).resolve().parent.parent.parent
OWN = frozenset(("compact", "help", "link", "overwrite"))
"""Flags without a value that etcdctl does not have; = is not for them."""
NOT_ETCDCTL = frozenset(("serve", "store", "trace", "migrate", "verify", "demo"))


def everything() -> list[tuple[str, TyperCommand]]:
    found: list[tuple[str, TyperCommand]] = []
    for name in COMMANDS:
        command = load(name)
        if isinstance(command, TyperGroup):
            found += [
                (f"{name} {sub}", below) for sub, below in command.commands.items() if isinstance(below, TyperCommand)
            ]
        else:
            found.append((name, command))
    return found


def flags_without_value(commands: list[tuple[str, TyperCommand]]) -> set[str]:
    found = set()
    for _, command in commands:
        for param in command.params:
            if isinstance(param, TyperOption) and param.is_flag:
                found |= {opt.removeprefix("--") for opt in param.opts if opt.startswith("--")}
    return found


def test_every_flag_without_a_value_is_known_to_the_dialect() -> None:
    commands = everything()
    of_etcdctl = [(name, command) for name, command in commands if name.split()[0] not in NOT_ETCDCTL]
    assert flags_without_value(of_etcdctl) - OWN <= BOOLEANS <= flags_without_value(commands)


def test_every_command_describes_itself_and_its_flags() -> None:
    for name, command in [("", root()), *everything()]:
        assert command.help, name
        for param in command.params:
            assert not isinstance(param, TyperOption) or param.help, (name, param.name)


def test_every_command_takes_the_global_flags_behind_it() -> None:
    globals_ = {param.name for param in root().params}
    for name, command in everything():
        assert globals_ <= {param.name for param in command.params}, name


@pytest.mark.parametrize(
    ("argv", "translated"),
    [
        (["-w", "json", "check", "perf", "--prefix=true"], ["-w", "json", "check", "perf", "--prefix=true"]),
        (["--store", "check", "get", "--prefix=true"], ["--store", "check", "get", "--prefix"]),
        (
            ["make-mirror", "--prefix=/a", "--dest-insecure-transport=false"],
            ["make-mirror", "--prefix=/a", "--no-dest-insecure-transport"],
        ),
        (["get", "--prefix=true", "a"], ["get", "--prefix", "a"]),
        (["get", "--prefix", "--prefix=false", "a"], ["get", "a"]),
        (["--insecure-transport=false", "get"], ["--no-insecure-transport", "get"]),
        (["-w=json"], ["-w", "json"]),
        (["put", "--", "--prefix=true"], ["put", "--", "--prefix=true"]),
        (["put", "k", "a=b"], ["put", "k", "a=b"]),
        (["--endpoints=a"], ["--endpoints=a"]),
    ],
)
def test_the_dialect(argv: list[str], translated: list[str]) -> None:
    assert translate(argv) == translated


def test_names_may_be_shortened_while_they_are_clear() -> None:
    assert match("wa", COMMANDS) == "watch"
    assert match("del", COMMANDS) == "del"
    assert match("comp", COMMANDS) is None
    assert match("", COMMANDS) is None
    assert suggestions("gte", COMMANDS) == "\n\nDid you mean this?\n\tget\n"
    assert suggestions("nothing-like-it", COMMANDS) == ""


@pytest.mark.parametrize("script", ["gen_man.py", "gen_completions.py"])
def test_generated_files_are_up_to_date(script: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "scripts" / script), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["brainctl", "wa"], "watch"),
        (["brainctl", "lease", "gr"], "grant"),
        (["brainctl", "get", "--pre"], "--prefix"),
        (["brainctl", "get", "--endp"], "--endpoints"),
        (["brainctl", "get", "--order", "DE"], "DESCEND"),
        (["brainctl", "get", "-w", "js"], "json"),
        (["brainctl", "check", "perf", "--load", "x"], "xl"),
    ],
)
def test_bash_completes(tmp_path: Path, line: list[str], expected: str) -> None:
    program = tmp_path / "brainctl"
    program.write_text(f'#!/bin/sh\nexec {" ".join(brainctl_argv())} "$@"\n')
    program.chmod(0o755)
    words = " ".join(f"'{word}'" for word in line)
    script = f"""
        source {ROOT}/completions/brainctl.bash
        COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; COMP_LINE="{" ".join(line)}"
        _brainctl_completion brainctl
        echo "${{COMPREPLY[@]}}"
    """
    environment = {**clean_environment(), "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == [expected]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_completion_command_prints_the_installed_script(shell: str) -> None:
    name = {"bash": "brainctl.bash", "zsh": "_brainctl", "fish": "brainctl.fish", "powershell": "brainctl.ps1"}[shell]
    done = brainctl("completion", shell)
    assert done.stdout == (ROOT / "completions" / name).read_text()
