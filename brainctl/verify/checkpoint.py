"""The state of a comparison in a file, so that it goes on where it was stopped."""

from base64 import b64decode, b64encode
from pathlib import Path
from typing import NamedTuple

import orjson

from brainctl.errors import InvalidInput
from brainctl.verify.difference import ExtraKey, KeyDifference, Mismatch, MissingKey


class Reached(NamedTuple):
    """Progress of the comparison of keys."""

    revision: int
    """The revision at which keys are compared."""
    place: bytes
    """All keys below this one are compared."""
    keys: int
    size: int
    hashed: int
    gone: int
    different: int
    """Number of differences of keys, listed or not."""
    differences: tuple[KeyDifference, ...]
    """The first of these."""


class CheckpointFile:
    """A file with the progress of one comparison."""

    def __init__(self, path: Path, of: list[object]) -> None:
        """Create the access to a file, which may not exist yet; `of` says in JSON what is compared with what."""
        self._path = path
        self._of = of

    def read(self) -> Reached | None:
        """Return the progress; None when there is no file.

        Raises:
            InvalidInput: The file is no checkpoint, or one of another comparison.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            state = orjson.loads(data)
            of = state["of"]
            reached = Reached(
                revision=int(state["revision"]),
                place=b64decode(state["place"]),
                keys=int(state["keys"]),
                size=int(state["size"]),
                hashed=int(state["hashed"]),
                gone=int(state["gone"]),
                different=int(state["different"]),
                differences=tuple(map(_difference, state["differences"])),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"{self._path} is no checkpoint of a comparison: remove it to start over") from error
        if of != self._of:
            raise InvalidInput(f"{self._path} is of another comparison: name another file, or remove it")
        return reached

    def write(self, reached: Reached) -> None:
        """Replace the file."""
        state = reached._asdict() | {
            "of": self._of,
            "revision": str(reached.revision),
            "place": b64encode(reached.place).decode(),
            "differences": list(map(_entry, reached.differences)),
        }
        part = self._path.with_name(f"{self._path.name}.part")
        part.write_bytes(orjson.dumps(state) + b"\n")
        part.replace(self._path)

    def remove(self) -> None:
        """Remove the file: the comparison is complete."""
        self._path.unlink(missing_ok=True)


def _entry(difference: KeyDifference) -> list[object]:
    key = b64encode(difference.key).decode()
    match difference:
        case MissingKey():
            return ["missing", key]
        case ExtraKey():
            return ["extra", key]
        case Mismatch(_, fields):
            return ["different", key, *fields]


def _difference(entry: list[str]) -> KeyDifference:
    kind, key, *fields = entry
    named = b64decode(key)
    if kind == "missing":
        return MissingKey(named)
    return ExtraKey(named) if kind == "extra" else Mismatch(named, tuple(fields))
