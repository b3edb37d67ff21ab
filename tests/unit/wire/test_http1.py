"""HTTP/1.1: requests come out whole however their bytes are cut, and what could be read in two ways is refused."""

from collections.abc import Callable
from http import HTTPStatus
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.wire.http1 import HEAD_BYTES_MAX, Http1Fault, Http1Reader, Http1Request

LIMIT = 1000
bodies = st.lists(st.binary(max_size=60), max_size=5)


def whole(parts: list[bytes]) -> bytes:
    body = b"".join(parts)
    return b"POST /v3/kv/put HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def chunked(parts: list[bytes]) -> bytes:
    chunks = b"".join(b"%X;of=no matter\r\n%b\r\n" % (len(part), part) for part in parts if part)
    return b"POST /v3/kv/put HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def read(data: bytes, cuts: list[int]) -> list[Http1Request]:
    reader = Http1Reader(LIMIT)
    found = []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        reader.feed(data[start:end])
        while request := reader.next_request():
            found.append(request)
    assert not reader.held_bytes
    return found


@given(st.lists(st.tuples(bodies, st.sampled_from((whole, chunked))), min_size=1, max_size=4), st.lists(st.integers(0)))
def test_requests_come_out_as_they_went_in(
    requests: list[tuple[list[bytes], Callable[[list[bytes]], bytes]]], cuts: list[int]
):
    data = b"".join(write(parts) for parts, write in requests)
    assert [request.body for request in read(data, cuts)] == [b"".join(parts) for parts, _ in requests]


def fault(data: bytes) -> HTTPStatus | None:
    reader = Http1Reader(LIMIT)
    reader.feed(data)
    with pytest.raises(Http1Fault) as raised:
        reader.next_request()
    return raised.value.status


HEAD = b"POST / HTTP/1.1\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n", 400),
        (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
        (HEAD + b"Content-Length: +3\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1001\r\n\r\n", 413),
        (CHUNKED + b"3e9\r\n", 413),
        (CHUNKED + b"1f4\r\n" + bytes(500) + b"\r\n1f5\r\n", 413),
        (CHUNKED + b"-1\r\n", 400),
        (CHUNKED + b"\r\n", 400),
        (CHUNKED + b"0x1\r\n", 400),
        (CHUNKED + b"1;" + b"x" * 300, 400),
        (CHUNKED + b"1\r\nabc", 400),
        (CHUNKED + b"0\r\nTrailer: 1\r\n\r\n", 400),
        (HEAD + b"X: " + b"x" * HEAD_BYTES_MAX, 431),
        (HEAD + b"X: \r\n" * 5000 + b"\r\n", 431),
        (b"hello\r\n\r\n", None),
    ],
)
def test_what_is_refused(data: bytes, status: int | None):
    assert fault(data) == status


@pytest.mark.parametrize("step", [1, 7, 4096])
def test_a_head_of_a_hundred_kilobytes_in_pieces(step: int):
    size = 2000 if step == 1 else 100_000
    data = (HEAD + b"X: " + b"x" * size + b"\r\n\r\n") * 2
    reader = Http1Reader(LIMIT)
    requests = []
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
        while (request := reader.next_request()) is not None:
            requests.append(len(request.fields["x"]))
    assert requests == [size, size]


def test_a_client_that_waits_is_told_to_go_on_once():
    reader = Http1Reader(LIMIT)
    reader.feed(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert reader.next_request() is None
    assert reader.expects_continue
    reader.feed(b"o")
    assert reader.next_request() is None
    assert not reader.expects_continue
    reader.feed(b"k")
    request = reader.next_request()
    assert request is not None
    assert request.body == b"ok"
