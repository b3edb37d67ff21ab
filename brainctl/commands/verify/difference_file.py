"""The file of --differences: one line of JSON for each difference."""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from brainctl.verify.difference import Difference


class DifferenceFile:
    """File to which differences are written as they are found; none without a name."""

    def __init__(self, name: str) -> None:
        self._file = Path(name).open("wb") if name else None  # noqa: SIM115 - closed in __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, difference: "Difference") -> None:
        """Write a difference."""
        if self._file is None:
            return
        import orjson

        from brainctl.commands.verify.lines import shape

        self._file.write(orjson.dumps(shape(difference)) + b"\n")
