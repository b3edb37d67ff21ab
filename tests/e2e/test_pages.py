"""The command lines in the listings of README and docs do what the pages say, on servers that are started as they say.

A page is a story: its lines run one after the other in a directory of their own. What goes on, a server or a migration,
runs until its listing ends or a server begins; only servers with names run together. Addresses and absolute paths stand
for others here; the lines are the page's own.
"""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.test_tour import tour
from tests.peers import require
from tests.peers.ports import free_port
from tests.peers.process import Child
from tests.peers.servers import Etcd, Playground, brainctl_argv, clean_environment
from tests.test_docs import DOCUMENTS

ROOT = Path(__file__).resolve().parents[2]
LISTING = re.compile(
    r"^```\w*\n(?P<fenced>.*?)^```|(?<=\n\n)(?P<indented>(?:^ {4}[^\n]*\n)+)", re.MULTILINE | re.DOTALL
)
PROGRAMS = ("brainctl ", "curl ", "etcdctl ", "make ", "pipx ")
VERIFICATION = "docs/verification.md"
ELSEWHERE = {
    **{command: "tests/e2e/test_tour.py::test_the_tour_prints_what_the_readme_shows" for command, _ in tour()},
    "make demo": "tests/cli/test_demo.py::test_the_demo_migrates_verifies_and_cuts_over",
    "pipx install .": "tests/e2e/test_install.py::test_the_sources_are_not_in_reach",
    VERIFICATION: "tests/cli/test_verify.py::test_the_commands_of_the_page_do_what_it_says",
}
"""Lines, and a page, that another test runs."""
NOT_HERE = {
    "make check": "it takes half a minute, and `make test` runs it before this test",
    "make test": "it runs this test",
    "brainctl flash probe /var/lib/etcd --require heavy -w json && systemctl start etcd": "it starts a service",
    "brainctl serve --store 'tikv://10.0.0.9:2379/prod?cacert=ca.pem&cert=client.pem&key=client-key.pem'": (
        "the cluster of the tests has no TLS; tests/unit/tikv/client/test_channels.py connects with such files"
    ),
}
"""Lines that cannot be run by a test, each with the reason."""
BEFORE = {
    "brainctl --store file:///var/lib/brainctl snapshot save --link /var/lib/brainctl-backups/monday": [
        "mkdir -p /var/lib/brainctl-backups /backup",
        "brainctl store create file:///var/lib/brainctl",
        "brainctl --store file:///var/lib/brainctl put key value",
    ],
    "brainctl snapshot restore /backup/tuesday --data-dir /var/lib/brainctl": ["rm -r /var/lib/brainctl"],
    "brainctl snapshot restore /backup/tuesday --data-dir /var/lib/brainctl --revision 123456": [
        "rm -r /var/lib/brainctl"
    ],
    "etcdctl get key -w json": ["etcdctl put key value"],
    "brainctl flash probe /var/lib/brainctl": ["mkdir -p /var/lib/brainctl"],
    "brainctl flash report /var/lib/brainctl --rated-tbw 300TB": [
        "brainctl store create file:///var/lib/brainctl",
        "brainctl put key value --store file:///var/lib/brainctl",
    ],
    "brainctl flash report --endpoints 127.0.0.1:2379 --rated-dwpd 0.3 --capacity 960GB --plot writes.svg": [
        "brainctl serve --data-dir /var/lib/brainctl --listen 127.0.0.1:2379"
    ],
    """curl http://127.0.0.1:2379/v3/kv/put   -d '{"key": "Zm9v", "value": "YmFy"}'""": [
        "brainctl serve --data-dir /var/lib/brainctl --listen 127.0.0.1:2379"
    ],
    "brainctl --endpoints 10.0.0.1:2379 snapshot save backup.db": [
        "brainctl serve --store tikv://10.0.0.9:2379/prod --name one --listen 10.0.0.1:2379"
    ],
    "brainctl compaction REVISION": ["brainctl serve --data-dir /var/lib/brainctl", "brainctl put key value"],
}
"""What a page takes for granted before a line."""
READY = {" serve ": "ready", " --follow": "synced", "curl -N ": '"created":true'}
"""Parts of lines that go on until Ctrl-C, and what they say when they have begun."""


def listings(text: str) -> Iterator[list[str]]:
    """Yield the commands of each listing of a page; of one with prompts, what stands behind a prompt."""
    for match in LISTING.finditer(text):
        lines = [line.strip() for line in (match["fenced"] or match["indented"]).splitlines()]
        typed = [line[2:] for line in lines if line.startswith("$ ")] or lines
        commands = [re.sub(r"\s+# .*", "", line) for line in typed if line.startswith(PROGRAMS)]
        if commands:
            yield commands


def is_over_tikv(page: str) -> bool:
    return any("tikv://" in line for lines in listings((ROOT / page).read_text()) for line in lines)


PAGES = [page for page in DOCUMENTS if page != VERIFICATION and list(listings((ROOT / page).read_text()))]


class Story:
    """The directory in which a page is played, and what stands for the names in it."""

    def __init__(self, directory: Path, source: Etcd, store: str = "") -> None:
        """Prepare a page.

        Args:
            directory: An empty directory.
            source: An etcd, which answers to commands until the page starts a server.
            store: PD and prefix of a store on TiKV.
        """
        self.directory = directory
        ports = iter(f"127.0.0.1:{free_port()}" for _ in range(100))
        self.names = {
            "/var/lib/": f"{directory}/lib/",
            "/backup": f"{directory}/backup",
            "/etc/brainctl/serve.toml": f"{directory}/serve.toml",
            "--seconds 30 --size 1G": "--seconds 1s --size 16M",
            f"flash probe {directory}/lib/brainctl\n": f"flash probe {directory}/lib/brainctl --seconds 1s\n",
            "REVISION": "2",
            "123456": "2",
            "10.0.0.9:2379/prod": store,
            "10.0.0.9:2379/restored": f"{store}-restored",
            "127.0.0.1:2379": next(ports),
            "--from etcd://10.0.0.1:2379": f"--from etcd://{source.endpoint}",
            "10.0.0.1:2379": next(ports),
            "10.0.0.2:2379": next(ports),
        }
        self._programs = directory / "programs"
        self._programs.mkdir()
        for name, argv in {"brainctl": brainctl_argv(), "etcdctl": [str(require("etcdctl"))]}.items():
            executable = self._programs / name
            executable.write_text(f'#!/bin/sh\nexec {shlex.join(argv)} "$@"\n')
            executable.chmod(0o755)
        (directory / "serve.toml").write_text(self._here((ROOT / "packaging" / "serve.toml").read_text()))
        self._endpoint = source.endpoint
        self._began = 0

    def play(self, text: str) -> int:
        """Run the commands of a page. Returns how many it were."""
        played = 0
        for commands in listings(text):
            with ExitStack() as going:
                for command in commands:
                    if command in ELSEWHERE or command in NOT_HERE:
                        continue
                    for line in [*BEFORE.get(command, ()), command]:
                        self._run(line, going)
                    played += 1
        return played

    def _here(self, line: str) -> str:
        for name, value in self.names.items():
            line = line.replace(name, value)
        return line

    def _environment(self) -> dict[str, str]:
        return {
            **clean_environment(),
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "HOME": str(self.directory),
            "SHELL": "/bin/bash",
            "ETCDCTL_ENDPOINTS": self._endpoint,
        }

    def _run(self, line: str, going: ExitStack) -> None:
        said = next((said for part, said in READY.items() if part in f"{line} "), "")
        command, _, query = self._here(line + "\n").strip().partition(" | jq ")
        if said:
            self._begin(command, said, going)
            return
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.directory,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        if query:
            assert found_by(query, json.loads(done.stdout)) is not None, (line, done.stdout)

    def _begin(self, command: str, said: str, going: ExitStack) -> None:
        """Start what goes on; a server without an address in its line listens at a free port."""
        self._began += 1
        if " serve " in f"{command} ":
            if "--name" not in command:
                going.close()
            if "--listen" not in command:
                command += f" --listen 127.0.0.1:{free_port()}"
            self._endpoint = command.partition("--listen ")[2].split()[0]
        argv = ["sh", "-c", f'cd "$0" && exec {command}', str(self.directory)]
        child = Child(argv, self.directory / f"log{self._began}", self._environment())
        going.callback(child.stop)
        child.wait_until(lambda: said in child.output())


def found_by(query: str, document: object) -> object:
    """Return what the path at the beginning of a filter of jq names, such as .kvs[0].version; KeyError."""
    for field, number in re.findall(r"\.(\w+)|\[(\d+)\]", shlex.split(query)[-1].partition(" ")[0]):
        document = document[field] if isinstance(document, dict) else document[int(number)]  # type: ignore[index]
    return document


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with Etcd(tmp_path_factory.mktemp("source")) as server:
        yield server


@pytest.mark.parametrize("page", [page for page in PAGES if not is_over_tikv(page)])
def test_the_commands_of_a_page(page: str, source: Etcd, tmp_path: Path) -> None:
    Story(tmp_path, source).play((ROOT / page).read_text())


@pytest.mark.parametrize("page", [page for page in PAGES if is_over_tikv(page)])
def test_the_commands_of_a_page_over_tikv(page: str, source: Etcd, tikv: Playground, tmp_path: Path) -> None:
    store = tikv.url(f"pages-{Path(page).stem.lower()}").partition("://")[2]
    Story(tmp_path, source, store).play((ROOT / page).read_text())


def test_what_is_left_out_is_in_the_pages_and_tested_elsewhere() -> None:
    """A line that no page has any more, or a test that is gone, is no reason to leave out anything."""
    lines = {line for page in PAGES for commands in listings((ROOT / page).read_text()) for line in commands}
    assert {VERIFICATION, *NOT_HERE, *BEFORE, *ELSEWHERE} - lines == {VERIFICATION}
    for test in ELSEWHERE.values():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text()
    assert len(lines) > 40
    assert len(NOT_HERE) < len(lines) / 10


@pytest.mark.parametrize("line", ["brainctl verfy", "brainctl get --nonsense", "brainctl get key | jq '.nothing'"])
def test_control_a_line_that_does_not_work_is_found(line: str, source: Etcd, tmp_path: Path) -> None:
    page = f"A page.\n\n```console\n$ etcdctl put key value\nOK\n$ {line.replace('key', 'key -w json')}\n```\n"
    with pytest.raises((AssertionError, KeyError)):
        Story(tmp_path, source).play(page)


def test_a_listing_is_what_is_typed() -> None:
    page = "```console\n$ brainctl get a  # why\nbrainctl\n```\n\n    brainctl put a b\n    text\n\n"
    page += "- x\n    brainctl runs\n"
    assert list(listings(page)) == [["brainctl get a"], ["brainctl put a b"]]
