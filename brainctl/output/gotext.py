"""Texts as Go's standard library writes them: quoted strings, durations, sizes."""

import re

_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_SIZES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_ASCII_END = 0x80
_BMP_END = 0x10000
r"""The first code point that Go writes with \U and eight digits."""


def quote(data: bytes) -> str:
    r"""Return a double-quoted literal (strconv.Quote); bytes that are not UTF-8 become \xNN."""
    parts = []
    for char in data.decode("utf-8", "surrogateescape"):
        code = ord(char)
        if code in _ESCAPES:
            parts.append(_ESCAPES[code])
        elif char.isprintable():
            parts.append(char)
        elif 0xDC80 <= code <= 0xDCFF:  # a byte that surrogateescape carried through
            parts.append(f"\\x{code - 0xDC00:02x}")
        elif code < 0x20 or code == 0x7F:
            parts.append(f"\\x{code:02x}")
        else:
            parts.append(f"\\u{code:04x}" if code < _BMP_END else f"\\U{code:08x}")
    return '"' + "".join(parts) + '"'


def duration(seconds: float) -> str:
    """Return a duration as time.Duration prints it, to the nanosecond."""
    nanos = round(seconds * 1e9)
    if nanos == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanos < size * 1000:
            return f"{_trim(nanos, size)}{unit}"
    minutes, rest = divmod(nanos, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_trim(rest, 10**9)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def size(count: int) -> str:
    """Return a number of bytes with a decimal unit, two or three digits."""
    if count < 10:
        return f"{count} B"
    exponent = 0
    while count >= 1000 ** (exponent + 1):
        exponent += 1
    value = int(count / 1000**exponent * 10 + 0.5) / 10
    return f"{value:.1f} {_SIZES[exponent]}" if value < 10 else f"{value:.0f} {_SIZES[exponent]}"


def _trim(count: int, unit: int) -> str:
    """Return a quotient as Go prints it: without zeros at the end of the fraction."""
    whole, rest = divmod(count, unit)
    digits = len(str(unit)) - 1
    fraction = f"{rest:0{digits}d}".rstrip("0") if rest else ""
    return f"{whole}.{fraction}" if fraction else str(whole)


_UNESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_ESCAPED = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|([abtnvfr\"\\]))|([^\\\"\n])"
)


def unquote(literal: str) -> bytes | None:
    """Return the bytes of a literal in double quotes or backquotes (strconv.Unquote); None when it is none."""
    if len(literal) >= 2 and literal[0] == literal[-1] == "`":
        return literal[1:-1].encode(errors="surrogateescape")
    if len(literal) < 2 or literal[0] != '"' or literal[-1] != '"':
        return None
    out = bytearray()
    place, end = 1, len(literal) - 1
    while place < end:
        match = _ESCAPED.match(literal, place, end)
        if match is None:
            return None
        out += _unescaped(match)
        place = match.end()
    return bytes(out)


def _unescaped(match: re.Match[str]) -> bytes:
    """Return the bytes of one character or escape sequence."""
    byte, short, long, octal, letter, plain = match.groups()
    if plain:
        return str(plain).encode(errors="surrogateescape")
    if letter:
        return bytes([_UNESCAPES[letter]])
    if byte or octal:
        return bytes([int(byte, 16) if byte else int(octal, 8)])
    code = int(short or long, 16)
    return (chr(code) if code <= 0x10FFFF else "�").encode(errors="replace")
