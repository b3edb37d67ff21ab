"""Time in which nobody was heard: it is counted once, whoever asks first."""

from collections.abc import Callable

from brainctl.mvcc.deafness import BEAT_SECONDS, Deafness


class World:
    """A clock and one timer."""

    def __init__(self) -> None:
        self.now = 5.0
        self.timer: tuple[float, Callable[[], None]] = (0.0, lambda: None)
        self.deafness = Deafness(lambda: self.now, self.call_later)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        self.timer = (self.now + seconds, action)

    def turn(self, late: float = 0.0) -> None:
        """The timer fires, so much later than it should."""
        at, action = self.timer
        self.now = at + late
        action()


def test_a_loop_that_runs_has_lost_nothing() -> None:
    world = World()
    for late in (0.0, 0.001, 0.02, 0.04):
        world.turn(late)
        assert world.deafness.listen() == 0.0


def test_what_was_lost_is_counted_once() -> None:
    world = World()
    world.turn(3.0)
    assert abs(world.deafness.listen() - 3.0) < 1e-9
    world.turn()
    world.now += BEAT_SECONDS + 2.0  # somebody asks before the timer, which is due too, has its turn
    assert abs(world.deafness.listen() - 5.0) < 1e-9
    world.timer[1]()
    assert abs(world.deafness.listen() - 5.0) < 1e-9
    world.turn()
    assert abs(world.deafness.listen() - 5.0) < 1e-9
