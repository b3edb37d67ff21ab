"""Numbers of bytes as users write them."""

import re

from brainctl.cli.settings import BadValue

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def read_bytes(text: str, flag: str) -> int:
    """Return a number of bytes that is written with a unit.

    K, M, G, T, P and KiB, MiB, ... are powers of 1024, and kB, MB, ... powers of 1000.

    Args:
        text: the number as it was typed, such as 512M or 1.5GiB.
        flag: the flag, for the error.

    Raises:
        BadValue: the text is no such number.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kKmMgGtTpP]?)(i?[bB]?)", text.strip())
    if match is None:
        raise BadValue(text, flag, f'"{text}" is no number of bytes, such as 512M or 300TB')
    base = 1000 if match[3] in ("b", "B") and match[2] else 1024
    return int(float(match[1]) * base ** _UNITS[match[2].lower()])
