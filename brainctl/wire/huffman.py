"""Decode the Huffman code of HPACK, one byte per step.

The `hpack` library's state machine takes four bits per step. Two of its steps make one of ours, which is computed the
first time it is taken and then remembered: a peer can cause about 65,536 of them at most.
"""

from typing import Final

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import HUFFMAN_COMPLETE, HUFFMAN_EMIT_SYMBOL, HUFFMAN_FAIL, HUFFMAN_TABLE

_COMPLETE: Final = 1 << 8
"""A flag beside the state in the low byte: the text may end in it."""
_steps: Final[dict[int, tuple[int, bytes]]] = {}
"""Next state with its flag, and the bytes that the step emits, by state << 8 | byte."""


def decode_huffman(text: bytes) -> bytes:
    """Return the bytes that `text` encodes.

    Raises:
        HPACKDecodingError: `text` is not the code of any bytes.
    """
    steps = _steps
    state = _COMPLETE
    out = []
    for byte in text:
        step = (state & 0xFF) << 8 | byte
        state, decoded = steps.get(step) or _add_step(step)
        out.append(decoded)
    if not state & _COMPLETE:
        raise HPACKDecodingError("Huffman code is not complete")
    return b"".join(out)


def _add_step(step: int) -> tuple[int, bytes]:
    """Compute and remember the step that takes the byte step & 255 from the state step >> 8.

    Returns the next state with its flag, and the bytes that the step emits.

    Raises:
        HPACKDecodingError: no code leads there.
    """
    state, flags = step >> 8, 0
    decoded = bytearray()
    for bits in (step >> 4 & 0xF, step & 0xF):
        state, flags, symbol = HUFFMAN_TABLE[state << 4 | bits]
        if flags & HUFFMAN_FAIL:
            raise HPACKDecodingError("not a Huffman code")
        if flags & HUFFMAN_EMIT_SYMBOL:
            decoded.append(symbol)
    _steps[step] = (state | (_COMPLETE if flags & HUFFMAN_COMPLETE else 0), bytes(decoded))
    return _steps[step]
