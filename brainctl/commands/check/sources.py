"""Histories by what they are in: a file of ours, one of Jepsen, a directory of etcd's robustness tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

from brainctl.check.checker import Verdict
from brainctl.check.examine import Finding, examine
from brainctl.check.file import read_header, read_lines
from brainctl.check.readers.jepsen import read_registers
from brainctl.check.readers.robustness import HEADER, read_report
from brainctl.check.search import search
from brainctl.errors import InvalidInput

READ_BYTES = 1 << 20
"""Bytes of a file that are read at once."""


def examined(path: Path, on_progress: Callable[[int], None]) -> Finding:
    """Check the history at `path`.

    Raises:
        InvalidInput: There is none, or it is damaged.
    """
    if path.is_dir():
        return examine(HEADER, read_report(_report(path)), on_progress)
    if path.suffix == ".edn":
        return _registers(path)
    with path.open("rb", READ_BYTES) as file:
        return examine(read_header(file.readline()), read_lines(file), on_progress)


def _report(directory: Path) -> Iterator[tuple[int, str, bytes]]:
    """Yield the files of a report: the number of a client, the name, the bytes."""
    clients = [found for found in directory.glob("client-*") if found.name[7:].isdigit()]
    if not clients:
        raise InvalidInput(f"{directory} has no client-N: it is no report of etcd's robustness tests")
    for client in sorted(clients, key=lambda one: int(one.name[7:])):
        for name in ("operations.json", "watch.json"):
            if (client / name).exists():
                yield int(client.name[7:]), name, (client / name).read_bytes()


def _registers(path: Path) -> Finding:
    try:
        registers = read_registers(path.read_text())
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise InvalidInput(f"{path} is no history of Jepsen: {error}") from error
    anomalies, undecided = search(registers)
    operations = [one for each in registers.values() for one in each]
    unknown = sum(1 for one in operations if one.returned is None)
    return Finding(Verdict(anomalies, len(anomalies), len(operations), unknown, 0, 0, undecided, 0), None)
