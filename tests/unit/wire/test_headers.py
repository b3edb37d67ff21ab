"""HPACK: our decoder against the hpack library's, block by block on the same table."""

import re

import hpack
import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman as library_huffman
from hypothesis import given
from hypothesis import strategies as st

from brainctl.wire.frames import ConnectionFault
from brainctl.wire.headers import Field, HeaderDecoder, literal_block
from brainctl.wire.huffman import decode_huffman

names = st.sampled_from([b":path", b":method", b"grpc-timeout", b"te", b"x", b"long-" + b"n" * 150])
values = st.one_of(st.sampled_from([b"POST", b"/a/B", b"trailers", b"", b"v" * 3000]), st.binary(max_size=20))
blocks = st.lists(st.lists(st.tuples(names, values), max_size=8), min_size=1, max_size=12)


def decoder() -> HeaderDecoder[list[Field]]:
    return HeaderDecoder(list)


@given(blocks, st.lists(st.integers(0, 4096), max_size=3), st.booleans())
def test_what_the_library_encodes_is_decoded(lists: list[list[Field]], sizes: list[int], huffman: bool):
    encoder = hpack.Encoder()
    ours = decoder()
    for number, fields in enumerate(lists * 2):
        if number < len(sizes):
            encoder.header_table_size = sizes[number]
        block = encoder.encode(fields, huffman=huffman)
        assert ours.decode(block) == fields


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
        try:
            assert ours.decode(block) == expected
        except ConnectionFault:  # we take no integer of more than four bytes behind its prefix
            assert re.search(rb"[\x0f\x1f\x3f\x7f\xff][\x80-\xff]{4}", block)
            return


def test_a_block_of_indices_is_remembered_until_the_table_changes():
    encoder, ours = hpack.Encoder(), decoder()
    first = [(b"a", b"1"), (b"b", b"2")]
    ours.decode(encoder.encode(first))
    indexed = encoder.encode(first)
    assert ours.decode(indexed) is ours.decode(indexed)
    ours.decode(encoder.encode([(b"c", b"3")]))
    again = encoder.encode(first)
    assert again != indexed
    assert ours.decode(again) == first
    # The old bytes now name other entries; a memo that was kept would give the old answer.
    assert ours.decode(indexed) == [(b"b", b"2"), (b"c", b"3")]


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300)), max_size=5))
def test_a_literal_block_is_what_the_library_reads(fields: list[Field]):
    assert [tuple(field) for field in hpack.Decoder().decode(literal_block(fields), raw=True)] == fields


@given(st.binary(max_size=100))
def test_huffman_codes_mean_the_same_to_the_library(text: bytes):
    try:
        expected = library_huffman(text)
    except hpack.HPACKError:
        with pytest.raises(hpack.HPACKError):
            decode_huffman(text)
    else:
        assert decode_huffman(text) == expected


@given(st.binary(max_size=100))
def test_huffman_codes_come_back(text: bytes):
    assert decode_huffman(HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)) == text
