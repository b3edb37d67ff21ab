"""-w table: the answers that are lists, in a frame."""

from brainctl.output.answers import Answer, Style
from brainctl.output.rows import Row, columns


def render(answer: Answer, style: Style) -> bytes:
    """Return the table, its cells aligned right.

    Raises:
        Unsupported: The answer is not a list.
    """
    del style
    header, rows = columns(answer)
    header = [name.upper() for name in header]
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    lines = [
        _rule(("┌", "┬", "┐"), widths),
        _line([_center(name, width) for name, width in zip(header, widths, strict=True)]),
        _rule(("├", "┼", "┤"), widths),
        *(_line([cell.rjust(width) for cell, width in zip(row, widths, strict=True)]) for row in rows),
        _rule(("└", "┴", "┘"), widths),
    ]
    return "".join(lines).encode()


def _rule(corners: tuple[str, str, str], widths: list[int]) -> str:
    left, middle, right = corners
    return left + middle.join("─" * (width + 2) for width in widths) + right + "\n"


def _line(cells: Row) -> str:
    return "│" + "│".join(f" {cell} " for cell in cells) + "│\n"


def _center(text: str, width: int) -> str:
    """Return the text centred in `width` columns, one column further left when it cannot be even."""
    left = (width - len(text)) // 2
    return " " * left + text.ljust(width - left)
