"""How much memory of its own a process has."""

import re
import threading
from pathlib import Path
from typing import Self

INTERVAL_SECONDS = 0.005


def resident(pid: int) -> int:
    """Bytes of anonymous memory: what mapped files hold can be given back at any time, and is not counted."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10


class Growth:
    """How much a process grows at most inside the block."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._before = resident(pid)
        self.most = 0
        """Bytes above what it had before."""

    def _look(self) -> None:
        ended = False
        while not ended:
            ended = self._done.wait(INTERVAL_SECONDS)
            self.most = max(self.most, resident(self._pid) - self._before)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
