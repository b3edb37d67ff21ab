"""The same command lines through the real etcdctl and through brainctl: the same bytes, the same exit code."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from brainctl.wire.varint import varint
from tests import transcripts
from tests.peers import require
from tests.peers.servers import Brainctl, Etcd, brainctl_argv, clean_environment
from tests.transcripts.differences import ACCEPTED, SERVED

NOISE = (
    (re.compile(rb'^\{"level":.*\n', re.MULTILINE), b""),  # the log of etcd's client
    (re.compile(rb"^stty: .*\n", re.MULTILINE), b""),  # a password that is asked for without a terminal
    (re.compile(rb"\nUsage:\n.*\Z", re.DOTALL), b"\n"),  # cobra's help after a mistake
    (re.compile(rb"\AUsage:\n.*?\n\n(?=Error)", re.DOTALL), b""),
    (re.compile(rb"\ngoroutine .*\Z", re.DOTALL), b"\n"),
    (re.compile(rb"^Run '.*\n", re.MULTILINE), b""),  # the way to it
    (re.compile(b"(?:\xe2\x94\x80)+"), b"-"),  # as wide as ids and addresses make it
    (re.compile(b"(?<=\xe2\x94\x82) +| +(?=\xe2\x94\x82)"), b" "),
    (re.compile(rb'(?<=remaining\()\d+s|(?<="TTL" : )\d+(?=\n"Granted)|(?<="ttl":)"?\d+"?'), b'"LEFT"'),
    (re.compile(rb"\b\d+(\.\d)? [kM]?B\b"), b"SIZE"),  # when the backend was committed last
    (re.compile(rb"\b\d+%"), b"SHARE"),
    (re.compile(rb'(?<="DBSizeInUse" : )\d+|(?<="dbSizeInUse":)"?\d+"?'), b"0"),
    (re.compile(rb'(?<="DBSize" : )\d+|(?<="dbSize":)"?\d+"?'), b"0"),  # and how many of its pages that took
    (re.compile(rb"\d[\d.]*(ns|\xc2\xb5s|ms|s)\b(?=$|\n|\"| *\xe2)"), b"TOOK"),
    (re.compile(rb" +TOOK"), b" TOOK"),
    (re.compile(rb"(?<=Member|luster) +(?=[0-9a-f]+)", re.MULTILINE), b" "),  # ids that are shorter by chance
    (re.compile(rb"\A\n.(?=\x08)"), b"HEADER"),  # the length of a marshalled header follows from the ids
)


CHEAP = ("--bcrypt-cost", "4")
"""Passwords are hashed by both servers many times."""


class Outcome(NamedTuple):
    code: int
    out: bytes
    err: bytes


class Side:
    """One of the two programs, with a server of its own."""

    def __init__(self, program: list[str], server: Etcd | Brainctl) -> None:
        self.program = program
        self.server = server
        self.lease = "0"
        self.leases: set[str] = set()
        """All that were granted: a list shows the older ones too."""
        self.added = "0"

    def run(self, line: transcripts.Line) -> Outcome:
        argv = [self._filled(word) for word in line.argv]
        where = {"ETCDCTL_ENDPOINTS": self.server.endpoint}
        if not any(word.startswith("--dial-timeout") for word in argv):  # etcdctl refuses to be told twice
            where["ETCDCTL_DIAL_TIMEOUT"] = "60s"
        environment = {**clean_environment(), **where, **line.environment}
        done = subprocess.run(
            [*self.program, *argv], input=line.stdin, capture_output=True, timeout=120, check=False, env=environment
        )
        if line.argv[:2] == ["lease", "grant"] and done.returncode == 0:
            self.lease = _granted(done.stdout) or self.lease
            self.leases.add(self.lease)
        if line.argv[:2] == ["member", "add"] and done.returncode in (0, 4):  # 4: added, but not shown
            self.added = self._newest_member()
        return Outcome(done.returncode, self._normal(done.stdout), self._normal(done.stderr))

    def _filled(self, word: str) -> str:
        if "{member}" in word:
            word = word.replace("{member}", f"{self._ids()[1]:x}")
        return word.replace("{lease}", self.lease).replace("{added}", self.added)

    def _normal(self, output: bytes) -> bytes:
        """Without what two servers, two leases or two runs cannot have in common."""
        for pattern, instead in NOISE:
            output = pattern.sub(instead, output)
        for text in self._addresses():
            output = output.replace(text.encode(), b"ADDRESS")
        for lease in self.leases - {"0"}:
            for text in (lease, str(int(lease, 16))):
                output = output.replace(text.encode(), b"LEASE")
        if self.added != "0":
            output = re.sub(rb" *\b(%d|%b)\b" % (int(self.added, 16), self.added.encode()), b"ADDED", output)
        for number in self._ids():
            output = output.replace(varint(number), b"MEMBER")
            for text in (str(number), f"{number:x}"):
                output = output.replace(text.encode(), b"MEMBER")
        return re.sub(rb'"?(MEMBER|LEASE|ADDED)"?', rb'"\1"', output).replace(b"etcdctl", b"brainctl")

    def _addresses(self) -> list[str]:
        peer = [f"127.0.0.1:{self.server.peer_port}"] if isinstance(self.server, Etcd) else []
        return [self.server.endpoint, *peer]

    def _newest_member(self) -> str:
        """The id of the member without a name, the only one that was added and not removed again."""
        command = [str(require("etcdctl")), "--endpoints", self.server.endpoint, "member", "list", "-w", "json"]
        members = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["members"]
        return next(f"{member['ID']:x}" for member in members if "name" not in member)

    def _ids(self) -> list[int]:
        if not hasattr(self, "_known"):
            command = [str(require("etcdctl")), "--endpoints", self.server.endpoint, "endpoint", "status", "-w", "json"]
            header = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]["Status"]["header"]
            self._known = [header["cluster_id"], header["member_id"]]
        return self._known


def _granted(output: bytes) -> str:
    """Return the lease id in any of the formats that the transcripts use, "" for protobuf, in which it is not shown."""
    if match := re.search(rb"lease ([0-9a-f]{16})", output):
        return match[1].decode()
    match = re.search(rb'"ID"\s*:\s*"?(\d+)', output)
    assert match is not None or output.startswith(b"\x08"), output
    return f"{int(match[1]):016x}" if match else ""


@pytest.fixture(scope="module")
def etcdctl_on_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    with Etcd(tmp_path_factory.mktemp("etcd"), *CHEAP) as server:
        yield Side([str(require("etcdctl"))], server)


@pytest.fixture(scope="module")
def brainctl_on_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    with Etcd(tmp_path_factory.mktemp("etcd"), *CHEAP) as server:
        yield Side(brainctl_argv(), server)


def strings(value: object) -> object:
    """JSON with every number as a string: the documented difference of -w json. Members are in the order of their ids,
    which are different ones on each side.
    """
    if isinstance(value, dict):
        return {name: _sorted(item) if name == "members" else strings(item) for name, item in value.items()}
    if isinstance(value, list):
        return [strings(item) for item in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _sorted(items: list[object]) -> list[object]:
    return sorted((strings(item) for item in items), key=repr)


def comparable(outcome: Outcome) -> object:
    """What must be the same."""
    out: object = outcome.out
    if b"{" in outcome.out:
        out = [_comparable_line(line) for line in outcome.out.split(b"\n")]
    elif b", unstarted, " in outcome.out or b"INITIAL_CLUSTER" in outcome.out:
        out = sorted(re.split(rb"[\n,\"]", outcome.out))
    return outcome.code, out, outcome.err


def _comparable_line(line: bytes) -> object:
    return strings(json.loads(line)) if line.startswith((b"{", b"[{")) else line


def differences(name: str, theirs: Side, ours: Side, accepted: dict[str, str]) -> list[str]:
    wrong = []
    for line in transcripts.read(name):
        expected, found = comparable(theirs.run(line)), comparable(ours.run(line))
        if (expected == found) == (line.text in accepted):
            wrong.append(f"{name}.txt:{line.number}: {line.text}\n    expected: {expected!r}\n    found:    {found!r}")
    return wrong


@pytest.mark.parametrize("name", transcripts.names())
def test_brainctl_answers_as_etcdctl_does(name: str, etcdctl_on_etcd: Side, brainctl_on_etcd: Side) -> None:
    wrong = differences(name, etcdctl_on_etcd, brainctl_on_etcd, ACCEPTED)
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("name", ["kv", "lease", "txn", "auth", "turns", "members"])
def test_etcdctl_finds_no_difference_in_brainctl_serve(name: str, tmp_path: Path) -> None:
    with Etcd(tmp_path / "etcd", *CHEAP) as etcd, Brainctl(tmp_path / "brainctl", *CHEAP) as brainctl:
        program = [str(require("etcdctl"))]
        wrong = differences(name, Side(program, etcd), Side(program, brainctl), SERVED)
    assert not wrong, "\n" + "\n".join(wrong)
