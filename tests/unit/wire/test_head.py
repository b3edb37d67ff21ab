"""Request heads: what is malformed, what is refused, what is remembered."""

import pytest

from brainctl.errors import Code
from brainctl.wire.frames import ErrorCode
from brainctl.wire.head import Head, HeadReader
from brainctl.wire.headers import Field

PSEUDO: list[Field] = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/s/m")]
GRPC: list[Field] = [*PSEUDO, (b"content-type", b"application/grpc")]


def read(fields: list[Field]) -> Head:
    return HeadReader(frozenset({"/s/stream"}), 1000)(list(fields))


def test_a_plain_call():
    head = read([*GRPC, (b"te", b"trailers"), (b"x", b"1"), (b"x", b"2")])
    assert (head.method, head.path, head.grpc, head.plain, head.streaming) == ("POST", "/s/m", True, True, False)
    assert (head.fault, head.refusal, head.timeout) == (None, None, None)
    assert (head.metadata(b"x"), head.metadata(b"y")) == (b"1", None)


def test_a_streaming_call_is_not_plain():
    head = read([*PSEUDO[:2], (b":path", b"/s/stream"), (b"content-type", b"application/grpc")])
    assert (head.streaming, head.plain) == (True, False)


def test_a_page_is_not_plain():
    assert not read(PSEUDO).plain
    assert not read(PSEUDO).grpc


@pytest.mark.parametrize(
    "fields",
    [
        PSEUDO[1:],
        PSEUDO[:1] + PSEUDO[2:],
        PSEUDO[:2],
        [*PSEUDO[:2], (b":path", b"")],
        [*PSEUDO, PSEUDO[0]],
        [*PSEUDO, (b":status", b"200")],
        [(b"x", b"1"), *PSEUDO],
        [*PSEUDO, (b"X", b"1")],
        [*PSEUDO, (b"", b"1")],
        [*PSEUDO, (b"a b", b"1")],
        [*PSEUDO, (b"x", b"a\r\nb: c")],
        [*PSEUDO, (b"x", b"\0")],
        [*PSEUDO, (b"x", b" padded")],
        [*PSEUDO, (b"connection", b"close")],
        [*PSEUDO, (b"transfer-encoding", b"chunked")],
        [*PSEUDO, (b"te", b"gzip")],
        [*PSEUDO, (b"content-length", b"-1")],
        [*PSEUDO, (b"content-length", b"1"), (b"content-length", b"2")],
    ],
)
def test_malformed_heads(fields: list[Field]):
    head = read(fields)
    assert head.fault is not None
    assert head.fault[0] == ErrorCode.PROTOCOL_ERROR
    assert not head.plain


def test_a_list_that_is_too_large_is_refused():
    head = read([*GRPC, (b"x", b"v" * 1000)])
    assert head.fault == (ErrorCode.ENHANCE_YOUR_CALM, "header list is too large")


def test_trailers_have_no_pseudo_fields():
    assert read([(b"x", b"1")]).trailers
    assert not read([PSEUDO[0], (b"x", b"1")]).trailers


def test_a_call_that_is_not_post_or_has_a_malformed_deadline_is_refused():
    assert read([(b":method", b"GET"), *GRPC[1:]]).refusal is not None
    refusal = read([*GRPC, (b"grpc-timeout", b"soon")]).refusal
    assert refusal is not None
    assert (refusal[0], refusal[1].code) == (400, Code.INTERNAL)


def test_heads_that_differ_by_their_deadline_are_remembered_once_and_stay_apart():
    reader = HeadReader(frozenset(), 1000)
    tail = (b"client-api-version", b"3.7")
    heads = [reader([*GRPC, (b"grpc-timeout", b"%dm" % number), tail]) for number in range(10)]
    assert [head.timeout for head in heads] == [pytest.approx(number / 1000) for number in range(10)]
    assert all(head.plain and head.path == "/s/m" for head in heads)
    assert len(reader._known) == 1
    large = HeadReader(frozenset(), 100_000)
    assert large([*GRPC, (b"grpc-timeout", b"1S"), (b"x", b"x" * 50_000)]).fault is None
    assert not large._known, "a connection could hold much memory that way"
    assert reader([*GRPC, tail]).timeout is None
