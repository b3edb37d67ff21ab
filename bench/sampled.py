"""`brainctl serve`, sampled: python -m bench.sampled OUTPUT serve ...; at its end OUTPUT has samples by part, as JSON.

A timer of processor time interrupts the process, and the innermost function of brainctl that the event loop's thread is
in counts. What the kernel does for a function counts as that function; the thread that writes the log is not seen.
"""

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from brainctl.cli import main as cli

EVERY_SECONDS = 0.001
PACKAGE = str(Path(cli.__file__).parent.parent) + "/"
LOOP = "event loop"
"""Its sockets too: uvloop reads and writes them outside of any function of ours."""


def part(frame: FrameType | None) -> str:
    """The layer and the module of the innermost frame that is brainctl's."""
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(PACKAGE):
            module = path.removeprefix(PACKAGE).removesuffix(".py")
            return LOOP if module.startswith(("commands", "cli")) else module
        frame = frame.f_back
    return LOOP


def main() -> int:
    output, arguments = Path(sys.argv[1]), sys.argv[2:]
    samples = Counter[str]()

    def begin(*_: object) -> None:
        samples.clear()

    def count(_: int, frame: FrameType | None) -> None:
        samples[part(frame)] += 1

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGPROF, count)
    signal.setitimer(signal.ITIMER_PROF, EVERY_SECONDS, EVERY_SECONDS)
    try:
        return cli.run(arguments)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        output.write_text(json.dumps(samples))


if __name__ == "__main__":
    sys.exit(main())
