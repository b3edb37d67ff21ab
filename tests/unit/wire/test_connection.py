"""Both roles against each other in memory: calls, streams, flow control, cancelling, draining."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainctl.errors import COMPACTED, Code, Status
from brainctl.wire import frames
from brainctl.wire.events import Ended, HalfClosed, Message, Opened, Reset, Resumed
from brainctl.wire.limits import Limits
from brainctl.wire.server import ServerConnection
from tests.unit.wire.pair import STREAM, UNARY, ConnectionPair, shape, unary_calls

SMALL_WINDOWS = Limits(message_bytes=1 << 20, window_bytes=70_000)


def test_a_unary_call_and_its_answer():
    pair = ConnectionPair()
    for body in (b"first", b"", b"x" * 20_000, b"y" * 200_000):
        stream_id = pair.client.request(UNARY, body)
        at_server, _ = pair.run()
        assert shape(at_server) == [("Request", stream_id, UNARY, body)]
        pair.server.reply(stream_id, body[::-1])
        assert pair.run()[1] == [Ended(stream_id, 0, "", body[::-1])]
        assert pair.server.open_streams == pair.client.open_streams == 0


def test_answers_may_come_in_any_order():
    pair = ConnectionPair()
    ids = [pair.client.request(UNARY, bytes([number])) for number in range(50)]
    assert [stream_id for stream_id, _ in unary_calls(pair.run()[0])] == ids
    for stream_id in reversed(ids):
        pair.server.reply(stream_id, str(stream_id).encode())
    assert pair.run()[1] == [Ended(stream_id, 0, "", str(stream_id).encode()) for stream_id in reversed(ids)]


def test_once_the_table_is_primed_a_response_is_its_message_and_35_bytes():
    pair = ConnectionPair()
    first = pair.client.request(UNARY, b"")
    pair.run()
    pair.server.reply(first, b"")
    pair.run()
    stream_id = pair.client.request(UNARY, b"request")
    pair.run()
    pair.server.reply(stream_id, b"body")
    # three frame headers of nine bytes, two indices, the message prefix of five, one index
    assert len(pair.server.take()) == 3 * 9 + 2 + 5 + len(b"body") + 1


def test_a_failure_is_trailers_with_the_text():
    pair = ConnectionPair()
    stream_id = pair.client.request(UNARY, b"")
    pair.run()
    pair.server.fail(stream_id, COMPACTED)
    assert pair.run()[1] == [Ended(stream_id, Code.OUT_OF_RANGE, COMPACTED.message, None)]


def test_a_stream_both_ways():
    pair = ConnectionPair()
    stream_id = pair.client.open(STREAM)
    pair.client.send(stream_id, b"one")
    pair.client.send(stream_id, b"two")
    assert shape(pair.run()[0]) == [
        ("Opened", stream_id, STREAM),
        ("Message", stream_id, b"one"),
        ("Message", stream_id, b"two"),
    ]
    pair.server.send(stream_id, b"three")
    assert pair.run()[1] == [Message(stream_id, b"three")]
    pair.client.half_close(stream_id)
    assert pair.run()[0] == [HalfClosed(stream_id)]
    pair.server.send(stream_id, b"four")
    pair.server.finish(stream_id)
    assert pair.run()[1] == [Message(stream_id, b"four"), Ended(stream_id, 0, "", None)]
    assert pair.server.open_streams == 0


def test_a_streaming_call_that_the_server_ends_first_is_reset_and_late_messages_are_ignored():
    pair = ConnectionPair()
    stream_id = pair.client.open(STREAM)
    pair.run()
    pair.server.fail(stream_id, Status(Code.UNAVAILABLE, "stop"))
    pair.client.send(stream_id, b"crossed with it")
    assert pair.run() == ([], [Ended(stream_id, Code.UNAVAILABLE, "stop", None)])
    assert pair.server.open_streams == 0


@pytest.mark.parametrize("size", [65_530, 65_531, 70_001, 5_000_000])
def test_a_response_larger_than_the_windows_waits_for_them(size: int):
    pair = ConnectionPair(client_limits=SMALL_WINDOWS._replace(message_bytes=5_000_000))
    stream_id = pair.client.request(UNARY, b"")
    pair.run()
    pair.server.reply(stream_id, bytes(size))
    waiting = pair.server.queued_bytes
    assert (waiting > 0) == (size + 5 > SMALL_WINDOWS.window_bytes)
    assert pair.run()[1] == [Ended(stream_id, 0, "", bytes(size))]
    assert pair.server.queued_bytes == 0


def test_a_request_larger_than_the_windows_waits_for_them():
    pair = ConnectionPair(limits=SMALL_WINDOWS)
    body = bytes(1 << 20)
    stream_id = pair.client.request(UNARY, body)
    assert shape(pair.run()[0]) == [("Request", stream_id, UNARY, body)]


def test_raising_the_initial_window_releases_what_waits():
    server = ServerConnection(frozenset())
    preface = frames.PREFACE + frames.settings({frames.INITIAL_WINDOW_SIZE: 10}) + frames.window_update(0, 1 << 20)
    server.receive(preface)
    assert len(server.receive(_raw_request(1))) == 1
    server.take()
    server.reply(1, bytes(1000))
    assert server.queued_bytes == 1005 - 10
    server.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))  # the stream's window is now -10
    server.receive(frames.window_update(1, 15))
    assert server.queued_bytes == 1005 - 15
    server.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 5000}))
    assert server.queued_bytes == 0
    assert server.open_streams == 0


def _raw_request(stream_id: int) -> bytes:
    block = b"\x83\x86\x04\x16/etcdserverpb.KV/Range\x0f\x10\x10application/grpc"
    return frames.headers(stream_id, block, end_stream=False) + frames.frame(
        frames.DATA, frames.END_STREAM, stream_id, bytes(5)
    )


def test_a_slow_reader_pauses_its_stream_and_no_other():
    pair = ConnectionPair(client_limits=SMALL_WINDOWS)
    slow, other = pair.client.open(STREAM), pair.client.open(STREAM)
    pair.run()
    sent = 0
    while not pair.server.paused(slow):
        pair.server.send(slow, bytes(10_000))
        sent += 1
    assert 50 < sent < 65  # half a MiB and the windows
    assert not pair.server.paused(other)
    at_server, at_client = pair.run()
    assert Resumed(slow) in at_server
    assert len(at_client) == sent
    assert not pair.server.paused(slow)


def test_many_large_responses_share_the_window():
    pair = ConnectionPair(client_limits=SMALL_WINDOWS)
    ids = [pair.client.request(UNARY, b"") for _ in range(5)]
    pair.run()
    for stream_id in ids:
        pair.server.reply(stream_id, bytes(300_000 + stream_id))
    ended = [event for event in pair.run()[1] if isinstance(event, Ended)]
    assert sorted((event.stream_id, len(event.message or b"")) for event in ended) == [
        (stream_id, 300_000 + stream_id) for stream_id in ids
    ]


def test_cancelling_a_stream_tells_the_owner_and_later_sends_are_dropped():
    pair = ConnectionPair()
    stream_id = pair.client.open(STREAM)
    pair.run()
    pair.client.reset(stream_id)
    assert pair.run()[0] == [Reset(stream_id, frames.ErrorCode.CANCEL)]
    pair.server.send(stream_id, b"late")
    pair.server.finish(stream_id)
    assert pair.server.take() == b""


def test_a_cancelled_unary_call_counts_until_its_answer_is_made():
    pair = ConnectionPair(limits=Limits(streams=2))
    ids = []
    for _ in range(2):
        ids.append(pair.client.request(UNARY, b""))
        pair.client.reset(ids[-1])
    refused = pair.client.request(UNARY, b"")
    _, at_client = pair.run()
    assert [event.stream_id for event in at_client if isinstance(event, Ended)] == [refused]
    assert pair.server.open_streams == 0
    pair.server.reply(ids[0], b"nobody hears")
    accepted = pair.client.request(UNARY, b"")
    assert shape(pair.run()[0]) == [("Request", accepted, UNARY, b"")]


def test_an_expired_call_ends_now_and_counts_until_its_answer_is_made():
    pair = ConnectionPair(limits=Limits(streams=1))
    expired = pair.client.request(UNARY, b"")
    pair.run()
    late = Status(Code.DEADLINE_EXCEEDED, "too late")
    pair.server.expire(expired, late)
    assert pair.run()[1] == [Ended(expired, late.code, late.message, None)]
    refused = pair.client.request(UNARY, b"")
    assert [event.stream_id for event in pair.run()[1] if isinstance(event, Ended)] == [refused]
    pair.server.reply(expired, b"nobody hears")
    accepted = pair.client.request(UNARY, b"")
    assert shape(pair.run()[0]) == [("Request", accepted, UNARY, b"")]


def test_draining_takes_what_crossed_with_it_and_refuses_the_rest():
    pair = ConnectionPair()
    before = pair.client.request(UNARY, b"before")
    pair.run()
    pair.server.shutdown()
    crossed = pair.client.request(UNARY, b"crossed")
    assert shape(pair.run()[0]) == [("Request", crossed, UNARY, b"crossed")]
    assert not pair.server.drained
    late = pair.client.request(UNARY, b"late")
    assert pair.run() == ([], [Ended(late, Code.UNAVAILABLE, _reset_text("REFUSED_STREAM"), None)])
    for stream_id in (before, crossed):
        pair.server.reply(stream_id, b"")
    assert len(pair.run()[1]) == 2
    assert pair.server.drained


def _reset_text(name: str) -> str:
    return f"stream terminated by RST_STREAM with error code: {name}"


def test_a_peer_without_a_header_table_gets_literals():
    server = ServerConnection(frozenset())
    server.receive(frames.PREFACE + frames.settings({frames.HEADER_TABLE_SIZE: 0}))
    server.take()
    blocks = []
    for stream_id in (1, 3):
        server.receive(_raw_request(stream_id))
        server.reply(stream_id, b"")
        blocks.append(server.take())
    assert b"\x20\x88" in blocks[0]  # the table is emptied first, as RFC 7541 section 4.2 wants
    assert b"application/grpc" in blocks[1]
    assert b"grpc-status" in blocks[1]


bodies = st.binary(max_size=3000)
calls = st.lists(
    st.one_of(st.tuples(st.just("unary"), bodies), st.tuples(st.just("stream"), st.lists(bodies, max_size=4))),
    max_size=6,
)


@settings(deadline=None)
@given(calls, st.lists(st.integers(1, 2000), min_size=1, max_size=30))
def test_events_do_not_depend_on_where_the_bytes_are_cut(plan: list[tuple[str, object]], steps: list[int]):
    pair = ConnectionPair()
    pair.client = type(pair.client)("test")
    for kind, content in plan * 2:
        if kind == "unary":
            assert isinstance(content, bytes)
            pair.client.request(UNARY, content)
        else:
            assert isinstance(content, list)
            stream_id = pair.client.open(STREAM)
            for body in content:
                pair.client.send(stream_id, body)
            pair.client.half_close(stream_id)
    data = pair.client.take()
    whole = ServerConnection(frozenset({STREAM}))
    expected = shape(whole.receive(data))
    cut = ServerConnection(frozenset({STREAM}))
    events, at, turn = [], 0, 0
    while at < len(data):
        size = steps[turn % len(steps)]
        events += cut.receive(data[at : at + size])
        at, turn = at + size, turn + 1
    assert shape(events) == expected
    assert sum(isinstance(event, Opened) for event in events) + len(unary_calls(events)) == 2 * len(plan)


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_make_it_raise(data: bytes, behind_settings: bool):
    server = ServerConnection(frozenset({STREAM}))
    server.receive(frames.PREFACE + (frames.settings({}) if behind_settings else b""))
    server.receive(data)
    server.take()


@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=20), st.sampled_from([None, SMALL_WINDOWS]))
def test_answers_to_several_calls_are_as_one_by_one(sizes: list[int], limits: Limits | None):
    """The first answers put their headers into the table, large ones wait for the window."""
    sent = []
    for at_once in (False, True):
        pair = ConnectionPair() if limits is None else ConnectionPair(limits, limits)
        ids = [pair.client.request(UNARY, b"") for _ in sizes]
        pair.run()
        pair.wire.clear()
        pair.server.reset(ids[0])
        answers = [bytes(size) for size in sizes]
        if at_once:
            pair.server.reply_all(ids, answers)
        else:
            for stream_id, answer in zip(ids, answers, strict=True):
                pair.server.reply(stream_id, answer)
        ended = [event for event in pair.run()[1] if isinstance(event, Ended)]
        sent.append((pair.wire, ended))
    assert sent[0] == sent[1]
    assert len(sent[0][1]) == len(sizes)


def test_a_header_block_that_comes_again_is_read_by_the_table_of_then():
    server = ServerConnection()
    server.receive(frames.PREFACE + frames.settings({}))
    insert = (
        b"\x83\x86\x44\x02/%c\x5f\x10application/grpc"  # path and content-type become the newest entries of the table
    )
    again = b"\x83\x86\xbf\xbe"
    blocks = [insert % b"a", again, again, insert % b"b", again, insert % b"b", insert % b"c", again]

    def call(number: int, block: bytes) -> bytes:
        stream_id = 2 * number + 1
        headers = frames.headers(stream_id, block, end_stream=False)
        return headers + frames.frame(frames.DATA, frames.END_STREAM, stream_id, bytes(5))

    events = server.receive(b"".join(call(number, block) for number, block in enumerate(blocks)))
    paths = [shaped[2] for shaped in shape(events) if shaped[0] == "Request"]
    assert paths == ["/a", "/a", "/a", "/b", "/b", "/b", "/c", "/c"]
