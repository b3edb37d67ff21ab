"""Install the peers of the tests: `python -m tests.peers.build [NAME...]`, without names all of them.

Everything comes from package registries, at the versions and hashes committed beside the sources. Each peer is built
once per machine, into a directory named by the hash of its sources; links of fixed names lead there. A peer that
cannot be installed is reported and leaves its reason in PROGRAM.missing; the exit code is 1 then with CI=true, else 0.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.peers import HERE, ROOT, directory
from tests.peers.recipes import ETCD_PROGRAMS, Recipe, etcd, go_module, java_client, node_packages, tikv_playground
from tests.peers.suites import etcd_suite, python_suite, rust_suite
from tests.peers.tools import Unavailable

BUILD_FILES = {".go", ".mod", ".sum", ".json", ".mjs", ".txt", ".sh", ".rs", ".toml", ".lock", ".java", ".xml"}


class Peer(NamedTuple):
    """Something that is built from a folder of sources."""

    sources: Path
    programs: tuple[str, ...]
    build: Recipe


CLIENTS = ROOT / "tests" / "clients"
PEERS = {
    "etcd": Peer(HERE / "etcd", tuple(ETCD_PROGRAMS), etcd),
    "h2spec": Peer(HERE / "h2spec", ("h2spec",), go_module(h2spec="github.com/summerwind/h2spec/cmd/h2spec")),
    "porcupine-check": Peer(HERE / "porcupine", ("porcupine-check",), go_module(porcupine_check=".")),
    "tikv-playground": Peer(HERE / "tikv-playground", ("tikv-playground",), tikv_playground),
    "etcd-load": Peer(ROOT / "bench" / "load", ("etcd-load",), go_module(etcd_load=".")),
    "go-client": Peer(CLIENTS / "go", ("go-client",), go_module(go_client=".")),
    "java-client": Peer(CLIENTS / "java", ("java-client",), java_client),
    "node-client": Peer(CLIENTS / "node", ("node-client",), node_packages),
    "etcd-suite": Peer(CLIENTS / "etcd-suite", ("etcd-suite",), etcd_suite),
    "rust-suite": Peer(CLIENTS / "rust", ("rust-suite",), rust_suite),
    "python-etcd3": Peer(CLIENTS / "python-etcd3", ("python-etcd3",), python_suite("python-etcd3", "etcd3")),
    "python-aetcd": Peer(CLIENTS / "python-aetcd", ("python-aetcd",), python_suite("python-aetcd", "aetcd")),
}


def install(name: str) -> str | None:
    """Build one peer unless its sources were built before; returns the reason when it cannot be."""
    peer = PEERS[name]
    target = directory() / "builds" / f"{name}-{_key(peer.sources)}"
    if not target.exists():
        print(f"building {name}", flush=True)
        fresh = target.with_name(f"{target.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            peer.build(peer.sources, fresh)
        except Unavailable as reason:
            return str(reason)
        except subprocess.CalledProcessError as error:
            return f"{Path(error.cmd[0]).name} failed with {error.returncode}: {error.output[-2000:]}"
        fresh.rename(target)
    for program in peer.programs:
        if (target / program).exists():
            _link(directory() / program, target / program)
    return None


def main(names: Sequence[str]) -> int:
    """Install the named peers, or all; returns the exit code."""
    failed = False
    with _lock(directory()):
        for name in names or PEERS:
            reason = install(name)
            for program in PEERS[name].programs:
                note = directory() / f"{program}.missing"
                if reason is None:
                    note.unlink(missing_ok=True)
                else:
                    note.write_text(reason)
            if reason is not None:
                failed = True
                print(f"peer {name} is not installed: {reason}", file=sys.stderr)
    return 1 if failed and os.environ.get("CI") == "true" else 0


def _key(sources: Path) -> str:
    """Names what a build depends on: the files that are compiled or pin what is, and whether there is Go."""
    digest = hashlib.sha256(b"go" if shutil.which("go") else b"")
    for path in sorted(p for p in sources.rglob("*") if p.suffix in BUILD_FILES and "node_modules" not in p.parts):
        digest.update(f"{path.relative_to(sources)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _link(link: Path, program: Path) -> None:
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(program)
    fresh.replace(link)


@contextmanager
def _lock(where: Path) -> Iterator[None]:
    """One builder at a time on a machine."""
    where.mkdir(parents=True, exist_ok=True)
    with (where / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
