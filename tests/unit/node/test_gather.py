"""How long a batch waits, played through: clients that come back at once, and such that do not."""

from brainctl.node.local.batch_window import PATIENCE, BatchWindow


def turn(gather: BatchWindow, answered: int, waiting: int, back: int, now: float = 0.0) -> float:
    """A group is answered, and the next one closed when `back` of them have written again; how long it may wait."""
    gather.answered(answered, waiting, now)
    delay = gather.delay(waiting, now)
    gather.closed(waiting + back)
    return delay


def test_two_halves_become_one_group():
    gather = BatchWindow()
    gather.answered(25, 25, 0.0)
    assert gather.delay(25, 0.0) == PATIENCE
    assert gather.delay(49, 0.001) == PATIENCE - 0.001
    assert gather.delay(50, 0.001) == 0.0, "all are there"
    assert gather.delay(30, PATIENCE) == 0.0, "it has waited long enough"


def test_a_client_alone_never_waits():
    gather = BatchWindow()
    for _ in range(10):
        assert turn(gather, 1, 0, 1) == 0.0


def test_waiting_in_vain_becomes_rare():
    gather = BatchWindow()
    delays = [turn(gather, 10, 3, 0) for _ in range(1000)]
    assert sum(delay > 0 for delay in delays) <= 12


def test_it_waits_again_once_that_helps():
    gather = BatchWindow()
    for _ in range(100):
        turn(gather, 10, 3, 0)
    delays = [turn(gather, 10, 0, 10) for _ in range(200)]
    assert all(delays[-100:])
    assert turn(gather, 10, 0, 2) > 0
    assert turn(gather, 10, 0, 10) == 0.0, "one vain wait, one batch without"
    assert turn(gather, 10, 0, 10) > 0
