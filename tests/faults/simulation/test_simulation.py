"""Thousands of random steps of a simulated server; what failed once; and planted bugs that it must find."""

import subprocess
import sys

import pytest

from brainctl.etcdpb import rpc_pb2 as pb
from tests.faults.simulation.world import PATHS, World, run
from tests.peers import ROOT
from tests.peers.servers import clean_environment

pytestmark = pytest.mark.crash
STEPS = 2000


@pytest.mark.parametrize("seed", range(1, 11))
def test_a_server_does_what_the_model_says(seed: int):
    done = run(seed, STEPS).done
    assert min(done[kind] for kind, _ in World.ACTIONS) > 0, "something was never done"
    assert min(done["expired leases"], done["failures"], done["cut_power"], done["kill"]) > 0


def test_a_seed_says_it_all():
    """The same steps, whatever the process: hashes of strings differ from one to the other."""
    say = "from tests.faults.simulation.world import run; w = run(3, 300); "
    say += "print(w.journal.model.marks[-1], w.clock.now, w.done)"
    said = set()
    for number in ("1", "2"):
        environment = clean_environment() | {"PYTHONHASHSEED": number}
        argv = [sys.executable, "-c", say]
        ran = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        said.add(ran.stdout)
    assert len(said) == 1, said


def test_a_failure_names_its_seed_and_step(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(World, "read", lambda _: pytest.fail("planned"))
    with pytest.raises((AssertionError, pytest.fail.Exception), match="planned"):
        run(1, 100)


def test_a_lease_that_is_granted_anew_while_the_old_one_expires_lives():
    world = World(1)
    world.backend.deaf_seconds = lambda: 0.0  # time passes at once here, and nobody was kept waiting by it
    grant, revoke = pb.LeaseGrantRequest(ID=3, TTL=5), pb.LeaseRevokeRequest(ID=3)
    world.call(PATHS["LeaseGrantRequest"], grant, lambda _: None)
    world.settle()
    world.asked[3] += 1
    world.call(PATHS["LeaseRevokeRequest"], revoke, lambda _: None)
    world.clock.now += 30
    world.call(PATHS["LeaseGrantRequest"], grant, lambda _: None)
    world.renewed[3] = world.clock.now
    world.pass_time(4.0)
    early = dict(world.journal.model.leases), list(world.journal.complaints)
    world.pass_time(4.0)
    world.loop.abandon()
    assert early == ({3: 5}, [])
    assert world.journal.model.leases == {}
