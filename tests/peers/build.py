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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.peers import HERE, ROOT, directory

GO_FLAGS = ("-trimpath", "-buildvcs=false")
BUILD_FILES = {".go", ".mod", ".sum", ".json", ".mjs", ".txt", ".sh"}


class Peer(NamedTuple):
    """Something that is built from a folder of sources."""

    sources: Path
    programs: tuple[str, ...]
    build: Callable[[Path, Path], None]
    """build(sources, target) puts the programs into target; raises Unavailable or CalledProcessError."""


class Unavailable(Exception):
    """A tool that the build needs is not on this machine."""


def go_module(**packages: str) -> Callable[[Path, Path], None]:
    """Build programs, by name, from packages of the module in `sources`."""

    def build(sources: Path, target: Path) -> None:
        for name, package in packages.items():
            _go(sources, target / name.replace("_", "-"), package)

    return build


def tikv_playground(sources: Path, target: Path) -> None:
    """Two modules, because they need two versions of gRPC: the second embeds the program of the first."""
    work = target / "sources"
    shutil.copytree(sources, work, ignore=shutil.ignore_patterns("bin", "pd-lite"))
    _go(work / "pd", work / "playground" / "pd-lite", ".")
    _go(work / "playground", target / "tikv-playground", ".", "-checklinkname=0")
    shutil.rmtree(work)


def etcd(sources: Path, target: Path) -> None:
    """etcd's three programs from their Go modules; where there is no Go, Debian's etcd and etcdctl 3.4."""
    packages = {name: f"go.etcd.io/etcd/{path}/v3" for name, path in ETCD_PROGRAMS.items()}
    try:
        go_module(**packages)(sources, target)
    except Unavailable:
        _debian_etcd(target)


def node_packages(sources: Path, target: Path) -> None:
    """The packages of package-lock.json, in an environment of their own."""
    npm = _tool("npm")
    shutil.copytree(sources, target / "node-client", ignore=shutil.ignore_patterns("node_modules"))
    _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], target / "node-client")


def python_etcd3(sources: Path, target: Path) -> None:
    """A Python environment with the packages of requirements.txt."""
    environment = target / "python-etcd3"
    _run([sys.executable, "-m", "venv", str(environment)], sources)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "-q", "--require-hashes"]
    _run([*pip, "-r", "requirements.txt"], sources)


ETCD_PROGRAMS = {"etcd": "server", "etcdctl": "etcdctl", "etcdutl": "etcdutl"}
CLIENTS = ROOT / "tests" / "clients"
PEERS = {
    "etcd": Peer(HERE / "etcd", tuple(ETCD_PROGRAMS), etcd),
    "h2spec": Peer(HERE / "h2spec", ("h2spec",), go_module(h2spec="github.com/summerwind/h2spec/cmd/h2spec")),
    "tikv-playground": Peer(HERE / "tikv-playground", ("tikv-playground",), tikv_playground),
    "etcd-load": Peer(ROOT / "bench" / "load", ("etcd-load",), go_module(etcd_load=".")),
    "go-client": Peer(CLIENTS / "go", ("go-client",), go_module(go_client=".")),
    "node-client": Peer(CLIENTS / "node", ("node-client",), node_packages),
    "python-etcd3": Peer(CLIENTS / "python-etcd3", ("python-etcd3",), python_etcd3),
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


def _go(module: Path, program: Path, package: str, linker_flags: str = "") -> None:
    command = [_tool("go"), "build", *GO_FLAGS, f"-ldflags=-s -w {linker_flags}", "-o", str(program), package]
    _run(command, module, CGO_ENABLED="0")


def _debian_etcd(target: Path) -> None:
    """Unpack Debian's packages below `target`; nothing is installed on the machine."""
    for package in ("etcd-server", "etcd-client"):
        _run([_tool("apt-get"), "download", package], target)
    for archive in sorted(target.glob("*.deb")):
        _run([_tool("dpkg-deb"), "-x", str(archive), "."], target)
        archive.unlink()
    for program in ("etcd", "etcdctl"):
        (target / program).symlink_to(Path("usr", "bin", program))


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"there is no {name} on this machine")
    return path


def _run(command: Sequence[str], cwd: Path, **environment: str) -> None:
    nice = [shutil.which("nice") or "nice", "-n", "10"]
    subprocess.run(
        [*nice, *command],
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )


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
