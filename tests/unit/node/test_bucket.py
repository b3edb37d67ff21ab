"""The token bucket, on a clock of numbers."""

from random import Random

import pytest

from brainctl.node.local.token_bucket import Bucket


def test_a_burst_passes_and_then_the_rate_holds():
    bucket = Bucket(rate=100, burst=50, now=0.0)
    assert bucket.take(50, 0.0) == 0.0
    assert bucket.take(20, 0.0) == pytest.approx(0.2)
    assert bucket.take(0, 0.1) == pytest.approx(0.1)
    assert bucket.take(0, 0.2) == 0.0
    assert bucket.take(50, 100.0) == 0.0, "a pause gives the burst back, and no more"
    assert bucket.take(10, 100.0) == pytest.approx(0.1)


def test_no_rate_never_waits():
    bucket = Bucket(rate=0, burst=0, now=0.0)
    assert not any(bucket.take(1 << 30, 0.0) for _ in range(10))


@pytest.mark.parametrize("seed", range(20))
def test_whoever_waits_as_told_keeps_the_rate(seed: int):
    """In every stretch of time no more than rate * time + burst + one piece has gone through."""
    rng = Random(seed)
    rate, burst, now = rng.uniform(1, 1000), rng.uniform(0, 500), rng.uniform(-5, 5)
    bucket = Bucket(rate, burst, now)
    taken: list[tuple[float, float]] = []
    for _ in range(200):
        amount = rng.uniform(0, 300)
        taken.append((now, amount))
        now += bucket.take(amount, now) + rng.choice((0.0, 0.0, rng.uniform(0, 3)))
    for first in range(0, 200, 7):
        for last in range(first, 200, 11):
            span = taken[last][0] - taken[first][0]
            assert sum(amount for _, amount in taken[first:last]) <= rate * span + burst + 1e-6
    assert sum(amount for _, amount in taken) > 0.2 * rate * (taken[-1][0] - taken[0][0]), "it waits without need"
