"""Every named place of the engine and the node, with a crash, an error and a pause at it; and controls."""

from collections.abc import Callable

import pytest

from tests.faults.simulation import failpoints
from tests.faults.simulation.failpoints import PLACES, POINTS, FailingWorld, Place, fewest, run
from tests.faults.simulation.test_controls import answers_come_before_the_write, readers_see_what_is_staged

pytestmark = pytest.mark.crash
Patch = pytest.MonkeyPatch
TURNS = 4
STEPS = 20_000


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_server_survives_whatever_happens_wherever(seed: int):
    assert len(PLACES) >= 28
    assert fewest(run(seed, TURNS, STEPS).turns) >= TURNS, "a place was hardly reached"


def test_a_place_that_is_never_reached_is_missed(monkeypatch: Patch):
    nowhere = Place("nowhere", FailingWorld, "jump_twice")
    monkeypatch.setattr(FailingWorld, "jump_twice", lambda _: None, raising=False)
    monkeypatch.setattr(failpoints, "PLACES", (*PLACES, nowhere))
    monkeypatch.setattr(failpoints, "POINTS", [*POINTS, "before nowhere"])
    assert fewest(run(1, 1, 300).turns) == 0


@pytest.mark.parametrize("plant", [answers_come_before_the_write, readers_see_what_is_staged])
def test_planted_bugs_are_found_here_too(monkeypatch: Patch, plant: Callable[[Patch], None]):
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=r"seed \d+, step \d+"):
        run(1, TURNS, STEPS)
