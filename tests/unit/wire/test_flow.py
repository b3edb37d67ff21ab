"""Flow control as a property: never a byte more than the peer allows, and all of them once it does."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from brainctl.wire import frames
from brainctl.wire.frames import FRAME_HEADER
from brainctl.wire.server import ServerConnection
from tests.unit.wire.pair import UNARY

HEAD = b"\x83\x86\x04\x16" + UNARY.encode() + b"\x0f\x10\x10application/grpc"
STREAMS = (1, 3, 5)
ENOUGH = 1 << 24


class Accountant:
    """Reads what a server sends, and holds it to the windows that were granted."""

    def __init__(self, initial: int) -> None:
        self.initial = initial
        self.connection = frames.WINDOW
        self.windows = dict.fromkeys(STREAMS, initial)
        self.sent: dict[int, int] = defaultdict(int)
        self.ended: set[int] = set()

    def move_initial(self, value: int) -> None:
        for stream_id in STREAMS:  # below zero when more was sent than the new window has
            self.windows[stream_id] += value - self.initial
        self.initial = value

    def read(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            word, flags, stream_id = FRAME_HEADER.unpack_from(data, at)
            size, kind = word >> 8, word & 0xFF
            at += frames.HEADER_BYTES + size
            if kind == frames.DATA:
                assert stream_id not in self.ended
                assert size <= frames.FRAME_BYTES
                self.sent[stream_id] += size
                assert self.windows[stream_id] >= size
                assert self.connection >= size
                self.windows[stream_id] -= size
                self.connection -= size
            if flags & frames.END_STREAM and kind in {frames.DATA, frames.HEADERS}:
                self.ended.add(stream_id)


sizes = st.integers(0, 200_000)
grants = st.one_of(
    st.tuples(st.just("stream"), st.sampled_from(STREAMS), st.integers(1, 100_000)),
    st.tuples(st.just("connection"), st.just(0), st.integers(1, 100_000)),
    st.tuples(st.just("initial"), st.just(0), st.integers(0, 150_000)),
)


@given(st.integers(0, 100_000), st.tuples(sizes, sizes, sizes), st.lists(grants, max_size=20))
def test_the_peers_windows_hold(initial: int, replies: tuple[int, int, int], plan: list[tuple[str, int, int]]):
    server = ServerConnection(frozenset())
    books = Accountant(initial)
    server.receive(frames.PREFACE + frames.settings({frames.INITIAL_WINDOW_SIZE: initial}))
    for stream_id in STREAMS:
        server.receive(
            frames.headers(stream_id, HEAD, end_stream=False)
            + frames.frame(frames.DATA, frames.END_STREAM, stream_id, bytes(5))
        )
    for stream_id, size in zip(STREAMS, replies, strict=True):
        server.reply(stream_id, bytes(size))
        books.read(server.take())
    for kind, stream_id, value in plan:
        if kind == "initial":
            books.move_initial(value)
            data = frames.settings({frames.INITIAL_WINDOW_SIZE: value})
        else:
            if kind == "stream":
                books.windows[stream_id] += value
            else:
                books.connection += value
            data = frames.window_update(stream_id, value)
        server.receive(data)
        books.read(server.take())
    books.connection += ENOUGH
    server.receive(frames.window_update(0, ENOUGH))
    for stream_id in STREAMS:
        books.windows[stream_id] += ENOUGH
        server.receive(frames.window_update(stream_id, ENOUGH))
    books.read(server.take())
    assert [books.sent[stream_id] for stream_id in STREAMS] == [size + 5 for size in replies]
    assert books.ended == set(STREAMS)
    assert server.queued_bytes == server.open_streams == 0
