"""What a hostile peer can make us hold or do is bounded, and stays clear of what honest peers do."""

import pytest

from brainctl.errors import Code
from brainctl.wire import frames
from brainctl.wire.events import Closed, Ended
from brainctl.wire.frames import ErrorCode
from brainctl.wire.limits import Limits
from brainctl.wire.server import ServerConnection
from tests.unit.wire.pair import STREAM, UNARY, ConnectionPair, unary_calls

LIMITS = Limits(control_frames=100, resets=50, streams=20, header_list_bytes=10_000, message_bytes=50_000)
HEAD = b"\x83\x86\x04\x16/etcdserverpb.KV/Range\x0f\x10\x10application/grpc"


def server(limits: Limits = LIMITS) -> ServerConnection:
    connection = ServerConnection(frozenset({STREAM}), limits)
    assert connection.receive(frames.PREFACE + frames.settings({})) == []
    return connection


def cut_off(connection: ServerConnection, data: bytes) -> Closed | None:
    closed = [event for event in connection.receive(data) if isinstance(event, Closed)]
    return closed[0] if closed else None


CONTROL = {
    "PING": frames.ping(bytes(8)),
    "SETTINGS": frames.settings({frames.INITIAL_WINDOW_SIZE: 1000}),
    "PRIORITY": frames.frame(frames.PRIORITY, 0, 1, bytes(5)),
    "unknown": frames.frame(0x77, 0, 0, b"what"),
    "empty DATA": frames.frame(frames.DATA, 0, 1),
    "GOAWAY": frames.goaway(0, 0),
}


@pytest.mark.parametrize("kind", CONTROL)
def test_frames_that_carry_no_request_are_counted_per_tick(kind: str):
    connection = server()
    connection.receive(frames.headers(1, HEAD, end_stream=False))
    allowed = LIMITS.control_frames // (50 if kind == "SETTINGS" else 1)
    for _ in range(5):  # an honest peer stays below the limit, second after second
        connection.tick()
        assert cut_off(connection, CONTROL[kind] * allowed) is None
    closed = cut_off(connection, CONTROL[kind])
    assert closed is not None
    assert closed.code == ErrorCode.ENHANCE_YOUR_CALM
    assert connection.receive(frames.ping(bytes(8))) == []


def test_a_client_that_pings_with_every_call_is_welcome():
    connection = server()
    for number in range(1, 1001, 2):
        connection.receive(
            frames.headers(number, HEAD, end_stream=False)
            + frames.frame(frames.DATA, frames.END_STREAM, number, bytes(5))
            + frames.ping(bytes(8))
        )
        connection.reply(number, b"")
    assert not connection.closed
    assert cut_off(connection, frames.ping(bytes(8)) * 1000) is not None


def test_rapid_reset_is_cut_off():
    connection = server()
    flood = b"".join(
        frames.headers(number, HEAD, end_stream=False) + frames.rst_stream(number, ErrorCode.CANCEL)
        for number in range(1, 2 * LIMITS.resets + 3, 2)
    )
    closed = cut_off(connection, flood)
    assert closed is not None
    assert closed.code == ErrorCode.ENHANCE_YOUR_CALM


def test_requests_taken_back_still_count_as_running():
    connection = server(LIMITS._replace(resets=1000))
    flood = b"".join(
        frames.headers(number, HEAD, end_stream=False)
        + frames.frame(frames.DATA, frames.END_STREAM, number, bytes(5))
        + frames.rst_stream(number, ErrorCode.CANCEL)
        for number in range(1, 401, 2)
    )
    handed_on = unary_calls(connection.receive(flood))
    assert len(handed_on) == LIMITS.streams


def test_a_header_block_without_an_end_is_cut_off():
    connection = server()
    piece = frames.frame(frames.CONTINUATION, 0, 1, bytes(1000))
    assert cut_off(connection, frames.frame(frames.HEADERS, 0, 1, HEAD)) is None
    assert cut_off(connection, piece * 9) is None
    assert cut_off(connection, piece) is not None


def test_empty_continuations_are_cut_off():
    connection = server()
    connection.receive(frames.frame(frames.HEADERS, 0, 1, HEAD))
    assert cut_off(connection, frames.frame(frames.CONTINUATION, 0, 1) * 101) is not None


def test_a_small_block_that_unfolds_to_a_huge_list_is_refused():
    connection = server()
    entry = b"\x40\x01a\x7f\x91\x1e" + b"x" * 3984
    assert cut_off(connection, frames.headers(1, HEAD + entry, end_stream=True)) is None
    connection.take()
    assert cut_off(connection, frames.headers(3, HEAD + b"\xbe" * 5000, end_stream=True)) is None
    assert connection.take() == frames.rst_stream(3, ErrorCode.ENHANCE_YOUR_CALM)


def test_more_streams_than_allowed_are_refused():
    connection = server()
    opening = b"".join(frames.headers(1 + 2 * n, HEAD, end_stream=False) for n in range(LIMITS.streams + 1))
    connection.receive(opening)
    assert connection.open_streams == LIMITS.streams
    assert frames.rst_stream(1 + 2 * LIMITS.streams, ErrorCode.REFUSED_STREAM) in connection.take()


def test_incomplete_requests_are_bounded_together():
    connection = server(LIMITS._replace(partial_bytes=100_000))
    piece = (40_000).to_bytes(5) + bytes(16_000)
    for number in range(1, 41, 2):
        connection.receive(frames.headers(number, HEAD, end_stream=False))
        connection.receive(frames.frame(frames.DATA, 0, number, piece))
    assert connection.open_streams == 7
    assert connection.take().count(frames.rst_stream(39, ErrorCode.ENHANCE_YOUR_CALM)) == 1
    for number in range(1, 14, 2):
        connection.receive(frames.rst_stream(number, ErrorCode.CANCEL))
    connection.receive(frames.headers(41, HEAD, end_stream=False))
    assert connection.open_streams == 1


def test_data_beyond_the_window_is_a_fault():
    connection = server(LIMITS._replace(window_bytes=100_000, message_bytes=1 << 20))
    connection.receive(frames.headers(1, HEAD, end_stream=False))
    data = frames.frame(frames.DATA, 0, 1, (1 << 20).to_bytes(5) + bytes(16_000))
    closed = cut_off(connection, data * 7)
    assert closed is not None
    assert closed.code == ErrorCode.FLOW_CONTROL_ERROR


def test_a_client_that_reads_nothing_is_turned_away():
    limits = Limits(queue_bytes=100_000)
    pair = ConnectionPair(limits=limits, client_limits=Limits(window_bytes=65_535))
    for _ in range(40):
        stream_id = pair.client.request(UNARY, b"")
        pair.server.receive(pair.client.take())
        pair.server.reply(stream_id, bytes(20_000))
    assert pair.server.queued_bytes < 130_000
    refused = pair.server.take().count(int(ErrorCode.ENHANCE_YOUR_CALM).to_bytes(4))
    assert refused > 20


def test_a_message_over_the_limit_ends_the_call_at_its_first_bytes():
    pair = ConnectionPair(limits=Limits(message_bytes=1000))
    stream_id = pair.client.request(UNARY, bytes(1001))
    at_server, at_client = pair.run()
    assert at_server == []
    text = "grpc: received message larger than max (1001 vs. 1000)"
    assert at_client == [Ended(stream_id, Code.RESOURCE_EXHAUSTED, text, None)]
