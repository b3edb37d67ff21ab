"""How the change stream is asked for, and when it is taken for stalled: with a clock and bytes of the test's own."""

import pytest

from brainctl.migrate.etcd_source.delivery import (
    ALIVE_BYTES,
    BATCH_REVISIONS,
    MAX_STALLS,
    STALL_SECONDS,
    WHOLE_BYTES,
    Delivery,
    Shape,
    Silence,
)


def test_a_stream_is_whole_until_a_response_is_too_large() -> None:
    delivery = Delivery()
    assert delivery.shape is Shape.WHOLE
    assert not delivery.arrived(5, WHOLE_BYTES, 10)
    assert delivery.too_large(5)
    assert delivery.shape is Shape.FRAGMENTS


@pytest.mark.parametrize("shape", [Shape.FRAGMENTS, Shape.ANY_SIZE])
def test_the_stream_is_whole_again_behind_the_large_responses(shape: Shape) -> None:
    delivery = Delivery()
    while delivery.shape is not shape:
        assert delivery.too_large(5)
    assert not delivery.arrived(6, 1, 10_000)
    assert not delivery.arrived(5 + BATCH_REVISIONS, WHOLE_BYTES, 10_000), "the next thousand may be as large"
    assert not delivery.arrived(6 + BATCH_REVISIONS, 1, 10_000)
    assert delivery.shape is shape
    assert delivery.arrived(5 + 2 * BATCH_REVISIONS, 1, 10_000)
    assert delivery.shape is Shape.WHOLE


def test_the_stream_is_whole_again_when_nothing_is_missing() -> None:
    delivery = Delivery()
    delivery.too_large(5)
    assert delivery.arrived(6, WHOLE_BYTES, 6)
    assert delivery.shape is Shape.WHOLE


def test_fragments_that_do_not_come_are_asked_for_in_one_response() -> None:
    delivery = Delivery()
    assert not delivery.silent(5), "a whole response is asked for in no other way"
    delivery.too_large(5)
    assert delivery.silent(5)
    assert delivery.shape is Shape.ANY_SIZE
    assert not delivery.too_large(5)


def test_a_response_that_arrives_slowly_is_waited_for() -> None:
    silence, received = Silence(0.0), 0
    for second in range(0, 1000, 5):
        received += ALIVE_BYTES
        assert not silence.has_stalled(float(second), received)
    assert silence.has_stalled(995.0 + STALL_SECONDS + 1, received + ALIVE_BYTES - 1), "these only keep it alive"


@pytest.mark.parametrize("received", [None, 0])
def test_a_stalled_stream_gets_twice_the_time_after_each_try(received: int | None) -> None:
    silence, now = Silence(0.0), 0.0
    for stall in range(MAX_STALLS + 1):
        silence.opened(now)
        wait = STALL_SECONDS * 2**stall
        assert not silence.has_stalled(now + wait, received)
        now += wait + 1
        assert silence.has_stalled(now, received)
    assert silence.stalls == MAX_STALLS + 1
    silence.arrived(now)
    assert silence.stalls == 0
    assert silence.has_stalled(now + STALL_SECONDS + 1, received)


def test_a_stream_that_is_not_read_does_not_stall() -> None:
    silence = Silence(0.0)
    silence.busy(100.0)
    assert not silence.has_stalled(100.0 + STALL_SECONDS, None)
