"""HPACK: our decoder against the hpack library's, block by block on the same table."""

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.wire.frames import ConnectionFault
from brainctl.wire.headers import Field, HeaderDecoder, literal_block

names = st.sampled_from([b":path", b":method", b"grpc-timeout", b"te", b"x", b"long-" + b"n" * 150])
values = st.one_of(st.sampled_from([b"POST", b"/a/B", b"trailers", b"", b"v" * 3000]), st.binary(max_size=20))
blocks = st.lists(st.lists(st.tuples(names, values), max_size=8), min_size=1, max_size=12)


def decoder(list_bytes: int = 1 << 20) -> HeaderDecoder[tuple[list[Field], bool]]:
    return HeaderDecoder(lambda fields, whole: (list(fields), whole), list_bytes)


@given(blocks, st.lists(st.integers(0, 4096), max_size=3), st.booleans())
def test_what_the_library_encodes_is_decoded(lists: list[list[Field]], sizes: list[int], huffman: bool):
    encoder = hpack.Encoder()
    ours = decoder()
    for number, fields in enumerate(lists * 2):
        if number < len(sizes):
            encoder.header_table_size = sizes[number]
        block = encoder.encode(fields, huffman=huffman)
        assert ours.decode(block) == (fields, True)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=10))
def test_any_bytes_mean_the_same_to_the_library(stream: list[bytes]):
    ours, library = decoder(), hpack.Decoder(max_header_list_size=1 << 20)
    for block in stream:
        try:
            expected = [tuple(field) for field in library.decode(block, raw=True)]
        except (hpack.HPACKError, IndexError):
            with pytest.raises(ConnectionFault):
                ours.decode(block)
            return
        assert ours.decode(block) == (expected, True)


def test_a_block_of_indices_is_remembered_until_the_table_changes():
    encoder, ours = hpack.Encoder(), decoder()
    first = [(b"a", b"1"), (b"b", b"2")]
    ours.decode(encoder.encode(first))
    indexed = encoder.encode(first)
    assert ours.decode(indexed) is ours.decode(indexed)
    ours.decode(encoder.encode([(b"c", b"3")]))
    again = encoder.encode(first)
    assert again != indexed
    assert ours.decode(again) == (first, True)
    # The old bytes now name other entries; a memo that was kept would give the old answer.
    assert ours.decode(indexed) == ([(b"b", b"2"), (b"c", b"3")], True)


def test_a_list_that_is_too_large_is_cut_and_the_table_stays_right():
    encoder, ours = hpack.Encoder(), decoder(list_bytes=100)
    fields, whole = ours.decode(encoder.encode([(b"a", b"x" * 30), (b"b", b"y" * 30)]))
    assert not whole
    assert fields == [(b"a", b"x" * 30)]
    assert ours.decode(encoder.encode([(b"b", b"y" * 30)])) == ([(b"b", b"y" * 30)], True)


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300)), max_size=5))
def test_a_literal_block_is_what_the_library_reads(fields: list[Field]):
    assert [tuple(field) for field in hpack.Decoder().decode(literal_block(fields), raw=True)] == fields
