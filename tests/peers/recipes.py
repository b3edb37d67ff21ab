"""How each kind of peer is built: recipe(sources, target) puts programs made from `sources` into `target`.

They raise Unavailable when the machine lacks a tool, CalledProcessError when a tool fails.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tests.peers.tools import Unavailable, run, tool


class UnknownFiles(Exception):
    """A registry gave files that are not pinned."""


Recipe = Callable[[Path, Path], None]
ETCD_PROGRAMS = {"etcd": "server", "etcdctl": "etcdctl", "etcdutl": "etcdutl"}
GO_FLAGS = ("-trimpath", "-buildvcs=false")


def go_module(**packages: str) -> Recipe:
    """Build programs, by name, from packages of the module in `sources`."""

    def build(sources: Path, target: Path) -> None:
        for name, package in packages.items():
            go_build(sources, target / name.replace("_", "-"), package)

    return build


def go_build(module: Path, program: Path, package: str, linker_flags: str = "") -> None:
    """One program of a Go module, without C."""
    command = [tool("go"), "build", *GO_FLAGS, f"-ldflags=-s -w {linker_flags}", "-o", str(program), package]
    run(command, module, CGO_ENABLED="0")


def tikv_playground(sources: Path, target: Path) -> None:
    """Two modules, because they need two versions of gRPC: the second embeds the program of the first."""
    work = target / "sources"
    shutil.copytree(sources, work, ignore=shutil.ignore_patterns("bin", "pd-lite"))
    go_build(work / "pd", work / "playground" / "pd-lite", ".")
    go_build(work / "playground", target / "tikv-playground", ".", "-checklinkname=0")
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
    npm = tool("npm")
    shutil.copytree(sources, target / "node-client", ignore=shutil.ignore_patterns("node_modules"))
    run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], target / "node-client")


def java_client(sources: Path, target: Path) -> None:
    """The jars that pom.xml asks for, if they are those of jars.txt (sha256sum), and the classes of `src`."""
    client = target / "java-client"
    shutil.copytree(sources, client)
    repository = target / "repository"
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy-dependencies"
    flags = ("-q", "-B", f"-Dmaven.repo.local={repository}", f"-DoutputDirectory={client / 'jars'}")
    run([tool("mvn"), *flags, plugin], client)
    shutil.rmtree(repository)
    run([tool("sha256sum"), "--quiet", "--strict", "-c", "jars.txt"], client)
    if len((client / "jars.txt").read_text().splitlines()) != len(list((client / "jars").iterdir())):
        raise UnknownFiles(f"{client / 'jars'} holds jars that jars.txt does not name")
    run([tool("javac"), "-d", "classes", "-cp", "jars/*", "src/Client.java"], client)


def python_packages(name: str) -> Recipe:
    """A Python environment, called `name`, with the packages of requirements.txt."""

    def build(sources: Path, target: Path) -> None:
        run([sys.executable, "-m", "venv", str(target / name)], sources)
        pip = [str(target / name / "bin" / "python"), "-m", "pip", "install", "-q", "--require-hashes"]
        run([*pip, "-r", "requirements.txt"], sources)

    return build


def _debian_etcd(target: Path) -> None:
    """Unpack Debian's packages below `target`; nothing is installed on the machine."""
    for package in ("etcd-server", "etcd-client"):
        run([tool("apt-get"), "download", package], target)
    for archive in sorted(target.glob("*.deb")):
        run([tool("dpkg-deb"), "-x", str(archive), "."], target)
        archive.unlink()
    for program in ("etcd", "etcdctl"):
        (target / program).symlink_to(Path("usr", "bin", program))
