"""Three instances under faults keep etcd's promises, and planted bugs are found; `make chaos` is the long one."""

import os
from pathlib import Path

import pytest

from tests.faults.chaos.cluster import Cluster
from tests.faults.chaos.planted import BUGS
from tests.faults.chaos.schedule import KINDS, LINKED, WORKLOADS, Schedule, Step, schedule
from tests.faults.chaos.turn import turn
from tests.peers.servers import Playground
from tests.support.suites import WHOLE
from tests.support.tikv import VARIABLE

STEPS = (
    Step("kill", leader=True, before=10, during=10, seconds=0),
    Step("freeze store", leader=True, before=10, during=10, seconds=0),
    Step("pause", leader=False, before=10, during=10, seconds=0),
    Step("no driver", leader=True, before=10, during=0, seconds=0.3),
    Step("stop", leader=True, before=10, during=10, seconds=0),
)
"""A fault of each sort."""
TURNS = 10
"""Recordings of a planted bug, at most: one is enough where the moments are favourable."""
minutes = pytest.mark.skipif(
    not (WHOLE or VARIABLE in os.environ),
    reason="takes a minute: make suites, make test-tikv",
)


@minutes
def test_promises_are_kept(tikv: Playground, tmp_path: Path) -> None:
    with Cluster(tikv, tmp_path, "chaos-kept") as cluster:
        steps = tuple(step for step in STEPS if cluster.linked or step.kind not in LINKED)
        turned = turn(cluster, Schedule("kv", steps), "chaos/", 7, tmp_path / "history.jsonl")
    assert not turned.wrong
    assert turned.finding.verdict.operations >= sum(step.before + step.during for step in steps)


@minutes
@pytest.mark.parametrize(
    ("bug", "kinds"),
    [
        ("stale-read", {"stale-read"}),
        ("lost-event", {"watch-lost-event", "watch-bookmark", "watch-prev-kv"}),
        ("early-answer", {"stale-read", "lost-write", "dirty-read", "revision-reused"}),
    ],
)
def test_control_a_planted_bug_is_found(tikv: Playground, tmp_path: Path, bug: str, kinds: set[str]) -> None:
    quiet = Schedule("kv", (Step("blink", leader=True, before=60, during=0, seconds=0.05),))
    found: set[str] = set()
    with Cluster(tikv, tmp_path, f"chaos-{bug}", bug) as cluster:
        for seed in range(TURNS):
            turned = turn(cluster, quiet, f"chaos/{seed}/", seed, tmp_path / f"{seed}.jsonl")
            found |= {anomaly.kind for anomaly in turned.finding.verdict.anomalies}
            if found & kinds:
                return
    pytest.fail(f"only {found} were found")


def test_every_bug_has_a_control() -> None:
    assert set(BUGS) == {"stale-read", "lost-event", "early-answer"}


def test_a_seed_replays_its_faults() -> None:
    assert schedule(5, 20) == schedule(5, 20) != schedule(6, 20)
    many = [schedule(seed, 20) for seed in range(50)]
    assert {step.kind for plan in many for step in plan.steps} == set(KINDS)
    assert {plan.workload for plan in many} == set(WORKLOADS)
    assert not any(step.kind in LINKED for step in schedule(5, 200, linked=False).steps)
