"""Completion in a real bash on a terminal: what the TAB key makes of a line."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.servers import clean_environment

SECONDS = 120


class Shell:
    """An interactive bash with the completion script of brainctl."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.terminal, other = pty.openpty()
        attributes = termios.tcgetattr(other)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(other, termios.TCSANOW, attributes)
        argv = ["bash", "--norc", "--noprofile", "-i"]
        self.process = subprocess.Popen(
            argv, stdin=other, stdout=other, stderr=other, env=environment, start_new_session=True
        )
        os.close(other)
        self.heard = ""

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def hear(self, pattern: str) -> str:
        """Wait until the terminal shows what matches, and take everything up to there."""
        deadline = time.monotonic() + SECONDS
        while not (found := re.search(pattern, self.heard)):
            assert time.monotonic() < deadline, self.heard
            if select.select([self.terminal], [], [], 1)[0]:
                self.heard += os.read(self.terminal, 1 << 16).decode()
        self.heard = self.heard[found.end() :]
        return found[0]

    def completed(self, line: str) -> str:
        """Type a line and TAB; what the line has become, as the history has it behind a command that does nothing."""
        self.type(f"{line}\t#end\x01: \x05\n")
        self.type("fc -ln -1; echo do''ne\n")
        shown = self.hear(r": (brainctl [^\r\n]*)#end(?=\s+done)")
        return shown.removeprefix(": ").removesuffix("#end")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    home = tmp_path_factory.mktemp("home")
    (home / "config.toml").write_text('[contexts.lab]\nendpoints = ["a:1"]\n[contexts.live]\nendpoints = ["b:1"]\n')
    wrapper = home / "brainctl"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -m brainctl "$@"\n')
    wrapper.chmod(0o755)
    environment = clean_environment() | {
        "HOME": str(home),
        "TERM": "dumb",
        "PS1": "",
        "INPUTRC": "/dev/null",
        "HISTFILE": "",
        "BRAINCTL_CONFIG": str(home / "config.toml"),
        "PATH": f"{home}:{os.environ['PATH']}",
    }
    shell = Shell(environment)
    shell.type("bind 'set enable-bracketed-paste off'; source <(brainctl completion bash); echo rea\"\"dy\n")
    shell.hear("ready")
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("brainctl versi", "brainctl version "),
        ("brainctl --endpoints 127.0.0.1:2379 versi", "brainctl --endpoints 127.0.0.1:2379 version "),
        ("brainctl --endpoints=127.0.0.1:2379 versi", "brainctl --endpoints=127.0.0.1:2379 version "),
        ("brainctl --endpoints a:1,b:2 endpoint hea", "brainctl --endpoints a:1,b:2 endpoint health "),
        ("brainctl get k:1:2 --write-out js", "brainctl get k:1:2 --write-out json "),
        ("brainctl get --write-out=js", "brainctl get --write-out=json "),
        ("brainctl --context la", "brainctl --context lab "),
        ("brainctl get 'a b' --context li", "brainctl get 'a b' --context live "),
    ],
)
def test_the_tab_key_completes(shell: Shell, typed: str, expected: str) -> None:
    assert shell.completed(typed) == expected


def test_a_bad_file_of_contexts_completes_nothing(shell: Shell, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("[contexts")
    shell.type(f"export BRAINCTL_CONFIG={bad}\n")
    assert shell.completed("brainctl --context la") == "brainctl --context la"
