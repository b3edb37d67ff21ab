"""Changes of a cluster of two real members: a learner joins with what brainctl prints, is promoted, and leads."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import require
from tests.peers.servers import Etcd, brainctl

PATIENT = ("--heartbeat-interval", "500", "--election-timeout", "5000")
"""In milliseconds: a loaded machine must not let the members elect a leader of their own accord."""


class Joining(Etcd):
    """A member that joins a cluster, configured by what `member add` has printed."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.printed: dict[str, str] = {}

    def argv(self) -> list[str]:
        client = f"http://{self.endpoint}"
        return [
            *(str(require("etcd")), "--data-dir", str(self.data_dir), "--log-level", "error", "--unsafe-no-fsync"),
            *PATIENT,
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", self.printed["ETCD_INITIAL_ADVERTISE_PEER_URLS"]),
            *(f"--{name[5:].lower().replace('_', '-')}={value}" for name, value in self.printed.items()),
        ]

    def ready(self) -> bool:
        """A learner serves hardly anything: it is up when it answers about itself."""
        return brainctl("--endpoints", self.endpoint, "endpoint", "status").returncode == 0


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Etcd]:
    with Etcd(tmp_path / "first", *PATIENT) as server:
        yield server


def test_a_learner_joins_is_promoted_and_leads(first: Etcd, tmp_path: Path) -> None:
    at = ("--endpoints", first.endpoint)
    second = Joining(tmp_path / "second")
    peer = f"http://127.0.0.1:{second.peer_port}"
    added = brainctl(*at, "member", "add", "second", "--learner", "--peer-urls", peer)
    second.printed = dict(re.findall(r'^(ETCD_\w+)="(.*)"$', added.stdout, re.MULTILINE))
    member = added.stdout.split()[1]
    with second:
        promoted = when_possible("in sync with leader", *at, "member", "promote", member)
        assert promoted.startswith(f"Member {member:>16} promoted in cluster ")
        both = f"{first.endpoint},{second.endpoint}"
        leader = leader_at(first)
        moved = brainctl("--endpoints", f"{second.endpoint},{first.endpoint}", "move-leader", member)
        assert moved.stdout == f"Leadership transferred from {leader} to {member}\n"
        assert leader_at(first) == member
        refused = brainctl(*at, "move-leader", leader)
        assert (refused.returncode, "no leader endpoint given at" in refused.stderr) == (128, True)
        assert brainctl("--endpoints", both, "move-leader", leader).returncode == 0
        removed = when_possible("unhealthy cluster", *at, "member", "remove", member)
        assert removed.startswith(f"Member {member:>16} removed from cluster ")


def when_possible(not_yet: str, *argv: str) -> str:
    """What brainctl prints as soon as etcd does not refuse with `not_yet` any more."""
    deadline = time.monotonic() + 120
    while (done := brainctl(*argv)).returncode:
        assert not_yet in done.stderr
        assert time.monotonic() < deadline, done
    return done.stdout


def leader_at(server: Etcd) -> str:
    answer = json.loads(brainctl("--endpoints", server.endpoint, "endpoint", "status", "-w", "json").stdout)
    return f"{int(answer[0]['Status']['leader']):x}"
