"""The range that a prefix means. Apart from the rest of ranges because every command line needs it, and at once."""


def prefix_end(prefix: bytes) -> bytes:
    r"""Return the first key behind all that start with `prefix`; b"\0" (no end) when nothing is behind them."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else b"\0"
