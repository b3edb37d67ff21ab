"""Decode header blocks (HPACK, RFC 7541), and encode blocks that do not change the table.

The decoder is written for the traffic of one gRPC connection, where nearly every block repeats. A block of indexed
fields alone does not change the table, so what it means is remembered under its bytes until the table changes;
everything else takes a few steps per field. The Huffman code and the static table are the `hpack` library's.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from hpack.exceptions import HPACKDecodingError
from hpack.table import HeaderTable

from brainctl.wire.frames import ConnectionFault, ErrorCode
from brainctl.wire.huffman import decode_huffman

Field = tuple[bytes, bytes]
Meaning = TypeVar("Meaning")

TABLE_BYTES: Final = 4096
"""Bytes of the dynamic table until settings say otherwise; brainctl never offers more."""
_STATIC: Final[tuple[Field, ...]] = ((b"", b""), *HeaderTable.STATIC_TABLE)
_DYNAMIC_FROM: Final = len(_STATIC)
_ENTRY_OVERHEAD: Final = 32
"""Bytes by which an entry of the table is counted larger than its name and value (RFC 7541 section 4.1)."""
_MEMO_ENTRIES: Final = 256
"""Blocks that are remembered; with more, all are forgotten."""


class HeaderDecoder(Generic[Meaning]):
    """A decoder of the blocks of one direction of a connection, which passes the fields of each to `interpret`.

    `interpret` gets the fields in order, and must depend on nothing else. A block has at most one field per byte, and
    each is a literal of the block or an entry of the table, so that the size of a block bounds their memory; how large
    a list is acceptable is for `interpret` to decide (`list_bytes`).
    """

    def __init__(self, interpret: Callable[[list[Field]], Meaning]) -> None:
        self._interpret = interpret
        self._table: deque[Field] = deque()
        self._table_bytes = 0
        self._table_limit = TABLE_BYTES
        self.memo: dict[bytes, Meaning] = {}
        """Results of `interpret` for blocks that left the table unchanged, by their bytes: a hit saves decoding."""

    def decode(self, block: bytes) -> Meaning:
        """Return what `interpret` makes of the next block.

        Raises:
            ConnectionFault: the block is not HPACK (COMPRESSION_ERROR).
        """
        known = self.memo.get(block)
        if known is not None:
            return known
        try:
            fields, indexed = self._fields(block)
        except (IndexError, HPACKDecodingError) as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "header block cannot be decoded") from error
        meaning = self._interpret(fields)
        if indexed:
            if len(self.memo) >= _MEMO_ENTRIES:
                self.memo.clear()
            self.memo[block] = meaning
        return meaning

    def _fields(self, block: bytes) -> tuple[list[Field], bool]:
        """Return the fields of a block, and whether all of them were indexed.

        Raises:
            IndexError: the block ends too early, or an index is beyond the table.
            HPACKDecodingError: the block is not HPACK in another way.
        """
        fields: list[Field] = []
        indexed = True
        at = 0
        while at < len(block):
            first = block[at]
            if first & 0x80:  # indexed field
                if 0x80 < first < 0xFF:
                    index = first & 0x7F
                    at += 1
                else:
                    index, at = _integer(block, at, 0x7F)
                fields.append(self._entry(index))
                continue
            indexed = False
            if first & 0xE0 == 0x20:  # dynamic table size update, allowed only before the first field
                if fields:
                    raise HPACKDecodingError
                limit, at = _integer(block, at, 0x1F)
                self._resize(limit)
                continue
            # literal field; with incremental indexing when bit 6 is set
            index, at = _integer(block, at, 0x3F if first & 0x40 else 0x0F)
            if index:
                name = self._entry(index)[0]
            else:
                name, at = _string(block, at)
            value, at = _string(block, at)
            field = (name, value)
            fields.append(field)
            if first & 0x40:
                self._insert(field)
        return fields, indexed

    def _entry(self, index: int) -> Field:
        """Return the field with this index in the static or the dynamic table."""
        if index < _DYNAMIC_FROM:
            if index == 0:
                raise HPACKDecodingError
            return _STATIC[index]
        return self._table[index - _DYNAMIC_FROM]

    def _insert(self, field: Field) -> None:
        """Add a field to the dynamic table, whose change makes all remembered blocks void."""
        self.memo.clear()
        self._table.appendleft(field)
        self._table_bytes += len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD
        if self._table_bytes > self._table_limit:
            self._evict()

    def _resize(self, limit: int) -> None:
        if limit > TABLE_BYTES:
            raise HPACKDecodingError
        self.memo.clear()
        self._table_limit = limit
        self._evict()

    def _evict(self) -> None:
        while self._table_bytes > self._table_limit:
            name, value = self._table.pop()
            self._table_bytes -= len(name) + len(value) + _ENTRY_OVERHEAD


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """Return the integer whose prefix is the low bits of block[at], and the position behind it (RFC 7541 5.1)."""
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    for shift in (0, 7, 14, 21):
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise HPACKDecodingError


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """Return the string at `at`, and the position behind it (RFC 7541 section 5.2)."""
    huffman = block[at] & 0x80
    length, at = _integer(block, at, 0x7F)
    end = at + length
    if end > len(block):
        raise HPACKDecodingError
    text = block[at:end]
    return (decode_huffman(text) if huffman else text), end


def list_bytes(fields: Iterable[Field]) -> int:
    """Return the size of a header list in bytes as RFC 9113 section 6.5.2 counts it."""
    return sum(len(name) + len(value) + _ENTRY_OVERHEAD for name, value in fields)


def literal_block(fields: Iterable[Field]) -> bytes:
    """Return a header block of literal fields without indexing, whose meaning does not depend on the peer's table."""
    out = bytearray()
    for name, value in fields:
        out.append(0)
        for text in (name, value):
            out += _length(len(text))
            out += text
    return bytes(out)


def _length(value: int) -> bytes:
    """Return the length of a string as HPACK encodes it, without Huffman code."""
    if value < 0x7F:
        return bytes((value,))
    out = bytearray((0x7F,))
    value -= 0x7F
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
