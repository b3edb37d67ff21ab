"""Go's texts, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.output.gotext import duration, quote, size, unquote


@given(st.binary())
def test_what_is_quoted_can_be_read_again(data: bytes) -> None:
    assert unquote(quote(data)) == data
    assert quote(data).isprintable()


@pytest.mark.parametrize(
    ("data", "literal"),
    [
        (b"plain", '"plain"'),
        (b'a"b\\c', '"a\\"b\\\\c"'),
        (b"\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
        (b"\x00\x7f\xff", '"\\x00\\x7f\\xff"'),
        ("ü\u2028\U000e0001".encode(), '"ü\\u2028\\U000e0001"'),
    ],
)
def test_quoting(data: bytes, literal: str) -> None:
    assert quote(data) == literal


@pytest.mark.parametrize("literal", ['"', '"a', 'a"', '"\\q"', '"a"b"', '"\\x1"', "'a'", "", '"\n"'])
def test_what_is_no_literal(literal: str) -> None:
    assert unquote(literal) is None


def test_other_literals() -> None:
    assert unquote("`raw \\n`") == b"raw \\n"
    assert unquote('"\\101\\u00fc\\U0001F600"') == "Aü😀".encode()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (1e-9, "1ns"),
        (1.5e-6, "1.5µs"),
        (0.005666682, "5.666682ms"),
        (1.25, "1.25s"),
        (61, "1m1s"),
        (3600, "1h0m0s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (9, "9 B"), (999, "999 B"), (1000, "1.0 kB"), (20480, "20 kB"), (2147483648, "2.1 GB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
