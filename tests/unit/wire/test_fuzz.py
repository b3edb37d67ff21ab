"""Frames in any order with any content: nothing raises, every account stays in balance."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from brainctl.errors import COMPACTED
from brainctl.wire import frames
from brainctl.wire.client import ClientConnection
from brainctl.wire.events import Closed, Event, Message, Opened, PlainRequest, Requests
from brainctl.wire.headers import literal_block
from brainctl.wire.limits import Limits
from brainctl.wire.server import ServerConnection
from tests.unit.wire.pair import STREAM, UNARY, shape, unary_calls

LIMITS = Limits(message_bytes=2000, window_bytes=70_000, streams=4, queue_bytes=5000, stream_queue_bytes=1000)


def block(path: str, *fields: tuple[bytes, bytes]) -> bytes:
    head = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode())]
    return literal_block([*head, (b"content-type", b"application/grpc"), *fields])


blocks = st.one_of(
    st.sampled_from(
        [
            block(UNARY),
            block(STREAM),
            block(UNARY, (b"grpc-encoding", b"gzip")),
            block(UNARY, (b"content-length", b"5")),
            block(UNARY, (b"grpc-timeout", b"1S")),
            literal_block([(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")]),
            literal_block([(b"trailer", b"x")]),
            literal_block([(b":status", b"200"), (b"content-type", b"application/grpc")]),
            literal_block([(b":status", b"503")]),
            literal_block([(b"grpc-status", b"0")]),
            b"\x40\x01a\x01b",
            b"\xbe",
        ]
    ),
    st.binary(max_size=20),
)
bodies = st.one_of(
    st.binary(max_size=30),
    st.integers(0, 30).map(lambda size: size.to_bytes(5) + bytes(size)),
    st.just((2001).to_bytes(5)),
    st.just(b"\x01\x00\x00\x00\x02ab"),
)
words = st.integers(0, (1 << 32) - 1).map(lambda value: value.to_bytes(4))
payloads = {
    frames.DATA: bodies,
    frames.HEADERS: blocks,
    frames.PRIORITY: st.binary(min_size=4, max_size=6),
    frames.RST_STREAM: words,
    frames.SETTINGS: st.one_of(
        st.tuples(st.integers(0, 8), st.integers(0, 100_000)).map(
            lambda pair: pair[0].to_bytes(2) + pair[1].to_bytes(4)
        ),
        st.just(b""),
    ),
    frames.PUSH_PROMISE: st.binary(max_size=8),
    frames.PING: st.binary(min_size=7, max_size=8),
    frames.GOAWAY: st.binary(max_size=12),
    frames.WINDOW_UPDATE: st.one_of(words, st.integers(0, 5000).map(lambda value: value.to_bytes(4))),
    frames.CONTINUATION: blocks,
    99: st.binary(max_size=5),
}
LIKELY = [frames.DATA, frames.HEADERS, frames.HEADERS, frames.RST_STREAM, frames.WINDOW_UPDATE, *payloads]
streams = st.sampled_from([0, 1, 1, 1, 3, 3, 3, 5, 5, 2, 7, 9, 11, 13])
flags = st.sampled_from([0, 0, 1, 4, 4, 4, 5, 5, 5, 8, 12, 13, 0x20, 0x24, 0xFF])
any_frame = st.sampled_from(LIKELY).flatmap(
    lambda kind: st.builds(frames.frame, st.just(kind), flags, streams, payloads[kind])
)
answers = st.lists(st.sampled_from(["reply", "fail", "hold"]), min_size=1, max_size=8)


def check(connection: ServerConnection | ClientConnection) -> None:
    streams = connection.core.streams.open
    live = [stream for stream in streams.values() if stream is not None]
    assert connection.queued_bytes == sum(stream.queued for stream in live)
    for stream in live:
        assert stream.queued == sum(map(len, stream.queue))
    assert set(connection.sender.waiting) <= set(streams)
    if isinstance(connection, ServerConnection):
        assert len(streams) <= LIMITS.streams
        held = sum(stream.reader.held_bytes for stream in live if stream.reader is not None)
        held += sum(len(stream.body) + sum(map(len, stream.messages)) for stream in live)
        assert connection.held_bytes() == held + connection.queued_bytes + len(connection.core.block or b"")
    if connection.closed:
        assert connection.open_streams == connection.queued_bytes == 0


def act(server: ServerConnection, event: Event, answer: str) -> None:
    if isinstance(event, Requests):
        for stream_id, body in unary_calls([event]):
            if answer == "fail":
                server.fail(stream_id, COMPACTED)
            elif answer != "hold":
                server.reply(stream_id, body * 40)
    if answer == "hold" or not isinstance(event, Opened | Message | PlainRequest):
        return
    if answer == "fail":
        server.fail(event.stream_id, COMPACTED)
    elif isinstance(event, PlainRequest):
        server.respond(event.stream_id, 200, "text/plain", bytes(3000))
    elif isinstance(event, Message):
        server.send(event.stream_id, event.body * 40)


@settings(max_examples=150, deadline=None)
@given(st.lists(any_frame, max_size=40), answers)
@example([frames.headers(1, block(UNARY), end_stream=False), frames.frame(0, 1, 1, (2001).to_bytes(5))], ["reply"])
def test_a_server_survives_any_frames(stream: list[bytes], answers: list[str]):
    server = ServerConnection(frozenset({STREAM}), LIMITS)
    server.receive(frames.PREFACE + frames.settings({frames.INITIAL_WINDOW_SIZE: 20}))
    for number, data in enumerate(stream):
        for event in server.receive(data):
            act(server, event, answers[number % len(answers)])
            assert not isinstance(event, Closed) or server.closed
        check(server)
        server.take()
    server.close()
    check(server)


@settings(max_examples=80, deadline=None)
@given(st.lists(any_frame, max_size=40), st.integers(1, 60))
def test_any_frames_mean_the_same_in_pieces(stream: list[bytes], step: int):
    data = frames.PREFACE + frames.settings({}) + b"".join(stream)
    whole, pieces = (ServerConnection(frozenset({STREAM}), LIMITS) for _ in range(2))
    events = [event for at in range(0, len(data), step) for event in pieces.receive(data[at : at + step])]
    assert shape(whole.receive(data)) == shape(events)
    assert whole.take() == pieces.take()


@settings(max_examples=80, deadline=None)
@given(st.lists(any_frame, max_size=40))
def test_a_client_survives_any_frames(stream: list[bytes]):
    client = ClientConnection("test", limits=LIMITS)
    client.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 20}))
    for data in stream:
        if client.open_streams < 3 and not client.closed:
            client.send(client.open(STREAM), bytes(3000))
            client.request(UNARY, bytes(3000))
        client.receive(data)
        check(client)
    client.close()
    check(client)
