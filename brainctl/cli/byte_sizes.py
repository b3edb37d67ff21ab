"""Numbers of bytes as users write them."""

import re

from brainctl.cli.settings import BadValue

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def read_bytes(text: str, flag: str) -> int:
    """A number with a unit: K, M, G, T, P and KiB, ... are powers of 1024; kB, MB, ... those of 1000. BadValue."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kKmMgGtTpP]?)(i?[bB]?)", text.strip())
    if match is None:
        raise BadValue(text, flag, f'"{text}" is no number of bytes, such as 512M or 300TB')
    base = 1000 if match[3] in ("b", "B") and match[2] else 1024
    return int(float(match[1]) * base ** _UNITS[match[2].lower()])
