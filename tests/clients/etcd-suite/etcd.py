"""An `etcd` for etcd's own end-to-end tests that is `brainctl serve`: python etcd.py FLAG...

It replaces itself by the server, so that signals and the exit code are the server's; a child prints the line by which
the tests know that etcd is ready. What only a cluster has is left out; a flag that brainctl does not know is an error.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

READY_SECONDS = 15
OF_A_CLUSTER = ("listen-peer-urls", "initial-", "peer-", "snapshot-count", "strict-reconfig-check", "feature-gates")
OF_THE_LOG = ("log-level",)
OWN_CERTIFICATE = ("--cert-file", "server.crt"), ("--key-file", "server.key.insecure")
"""What --auto-tls would make: the clients of that do not check it."""


def translated(arguments: Sequence[str], fixtures: Path) -> Iterator[str]:
    """The flags of etcd as `brainctl serve` takes them."""
    rest = iter(arguments)
    for argument in rest:
        name = argument.removeprefix("--")
        if name.startswith((*OF_A_CLUSTER, *OF_THE_LOG)):
            if "=" not in name and name.startswith("peer-") and name.endswith("-file"):
                next(rest)
        elif name == "auto-tls":
            for flag, file in OWN_CERTIFICATE:
                yield from (flag, str(fixtures / file))
        else:
            yield argument


def announce(ready_file: Path) -> None:
    """Print the line once the file is there."""
    deadline = time.monotonic() + READY_SECONDS
    while not ready_file.exists():
        if time.monotonic() > deadline:
            return
        time.sleep(0.01)
    ready_file.unlink()
    ready_file.parent.rmdir()
    print("ready to serve client requests", flush=True)


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        print("etcd Version: 3.7.3")
        return
    ready_file = Path(tempfile.mkdtemp(), "ready")
    if os.fork() == 0:
        announce(ready_file)
        os._exit(0)
    flags = translated(sys.argv[1:], Path(os.environ["SUITE_FIXTURES"]))
    argv = [sys.executable, "-m", "brainctl", "serve", *flags, "--bcrypt-cost", "4", "--ready-file", str(ready_file)]
    os.execv(argv[0], argv)


main()
