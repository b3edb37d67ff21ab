"""Requests in flight: how many bytes, and who waits."""

from brainctl.server.in_flight import MOST_BYTES, SMALL_BYTES, InFlight


def test_small_requests_go_ahead_of_large_ones_that_wait() -> None:
    woken: list[str] = []
    held = InFlight(1 << 22)
    assert held.limit == 1 << 20
    assert held.admit(2 << 20, lambda: woken.append("first")), "one alone is let in, however large"
    assert not held.admit(1, lambda: woken.append("small"))
    held.release(2 << 20)
    assert woken == ["small"]
    assert held.admit(1 << 20, lambda: None)
    assert not held.admit(SMALL_BYTES + 1, lambda: woken.append("large"))
    for _ in range((1 << 20) // SMALL_BYTES):
        assert held.admit(SMALL_BYTES, lambda: None)
    assert not held.admit(SMALL_BYTES, lambda: woken.append("late"))
    held.release(1 << 20)
    assert woken == ["small"]
    held.release(1 << 20)
    assert woken == ["small", "large", "late"]
    assert (held.held, held.delayed) == (0, 3)


def test_the_limit_does_not_grow_with_the_memory() -> None:
    assert InFlight(1 << 40).limit == MOST_BYTES
