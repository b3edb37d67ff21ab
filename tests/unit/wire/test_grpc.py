"""gRPC's own framing: messages, compression, status texts, timeouts."""

import gzip
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.errors import ApiError, Code
from brainctl.wire.grpc import (
    MessageReader,
    decode_message_text,
    encode_message_text,
    is_grpc,
    message,
    timeout_seconds,
)


@given(st.lists(st.binary(max_size=50)), st.lists(st.integers(0, 600)))
def test_messages_come_out_wherever_the_bytes_are_cut(bodies: list[bytes], cuts: list[int]):
    data = b"".join(map(message, bodies))
    reader = MessageReader(100, b"")
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    got = [body for start, end in pairwise(edges) for body in reader.feed(data[start:end])]
    assert got == bodies
    assert reader.held_bytes == 0


def failure(reader: MessageReader, data: bytes) -> tuple[Code, str]:
    with pytest.raises(ApiError) as raised:
        reader.feed(data)
    return raised.value.status


def test_a_message_over_the_limit_is_refused_by_its_prefix_alone():
    assert MessageReader(100, b"").feed(message(bytes(100))) == [bytes(100)]
    too_large = message(bytes(101))[:5]
    assert failure(MessageReader(100, b""), too_large) == (
        Code.RESOURCE_EXHAUSTED,
        "grpc: received message larger than max (101 vs. 100)",
    )


def compressed(body: bytes) -> bytes:
    return b"\x01" + len(body).to_bytes(4) + body


def test_gzip_is_decompressed_within_the_limit():
    packed = gzip.compress(bytes(100))
    assert MessageReader(100, b"gzip").feed(compressed(packed)) == [bytes(100)]
    bomb = gzip.compress(bytes(10_000_000))
    code, text = failure(MessageReader(20_000, b"gzip"), compressed(bomb))
    assert (code, text) == (Code.RESOURCE_EXHAUSTED, "grpc: received message after decompression larger than max 20000")


def test_what_cannot_be_decompressed_is_named():
    assert failure(MessageReader(100, b""), compressed(b"x"))[0] == Code.INTERNAL
    assert failure(MessageReader(100, b"gzip"), compressed(b"x"))[0] == Code.INTERNAL
    assert failure(MessageReader(100, b"gzip"), compressed(gzip.compress(b"body")[:-9]))[0] == Code.INTERNAL
    assert failure(MessageReader(100, b"snappy"), compressed(b"x")) == (
        Code.UNIMPLEMENTED,
        'grpc: Decompressor is not installed for grpc-encoding "snappy"',
    )


@given(st.text())
def test_status_texts_survive_as_printable_ascii(text: str):
    encoded = encode_message_text(text)
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
    assert decode_message_text(encoded) == text


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"250m", 0.25), (b"5u", 5e-6), (b"6n", 6e-9), (b"99999999S", 99999999)],
)
def test_timeouts(value: bytes, seconds: float):
    assert timeout_seconds(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [b"", b"S", b"1", b"1s", b"-1S", b"123456789S", b"1.5S", b"1S "])
def test_malformed_timeouts(value: bytes):
    assert timeout_seconds(value) is None


def test_content_types():
    assert all(map(is_grpc, [b"application/grpc", b"application/grpc+proto", b"application/grpc;charset=utf-8"]))
    assert not any(map(is_grpc, [b"", b"application/json", b"application/grpc-web", b"application/grpcx"]))
