"""How test suites that packages of other projects carry are built, so that they can run against any server.

The suites come from the registries and are checked against committed hashes; what must be changed in them (an address
that is a constant, a cluster of three) is changed in the copy that is built.
"""

import json
import re
import shutil
import sys
import tarfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from tests.peers.recipes import GO_FLAGS, Recipe, python_packages
from tests.peers.tools import run, tool

ETCD_TESTS = "go.etcd.io/etcd/tests/v3"
ONE_MEMBER = (r"(ClusterSize: +)3", r"\g<1>1")


class SuiteChanged(Exception):
    """A suite does not contain what was to be changed in it."""


def etcd_suite(sources: Path, target: Path) -> None:
    """etcd's end-to-end tests: the packages common and e2e of its module of tests, for one member on a chosen port.

    Clusters of default size have one member, and their ports start at SUITE_BASE_PORT. The programs want to be run
    in the directory of the fixtures.
    """
    suite = target / "etcd-suite"
    work = target / "sources"
    shutil.copytree(sources, work)
    module = Path(json.loads(run([tool("go"), "mod", "download", "-json", ETCD_TESTS], work))["Dir"])
    _copy(module, work / "tests")
    for path in ("framework/config/cluster.go", "framework/e2e/cluster.go", "common/e2e_test.go"):
        _change(work / "tests" / path, *ONE_MEMBER)
    _change(work / "tests/framework/e2e/cluster.go", r"(?m)^const EtcdProcessBasePort = \d+$", "")
    shutil.copy(work / "e2e" / "port.go", work / "tests/framework/e2e/port.go")
    go = [tool("go"), "test", "-c", "-tags", "e2e", *GO_FLAGS, "-ldflags=-s -w"]
    run([tool("go"), "mod", "edit", "-replace", f"{ETCD_TESTS}=./tests"], work)
    for package in ("common", "e2e"):
        program = str(suite / f"{package}.test")
        run([*go, "-o", program, f"{ETCD_TESTS}/{package}"], work, CGO_ENABLED="0")
    shutil.copytree(work / "tests" / "fixtures", suite / "fixtures")
    shutil.rmtree(work)


def rust_suite(sources: Path, target: Path) -> None:
    """The tests of the etcd-client crate, for the server that ETCD_ENDPOINT names."""
    work = target / "sources"
    shutil.copytree(sources, work)
    cargo = tool("cargo")
    (work / "suite").mkdir()
    for name in ("client", "namespace"):  # cargo wants to see them before it tells where the crate is
        (work / "suite" / f"{name}.rs").touch()
    _lock_crates(work)
    metadata = json.loads(run([cargo, "metadata", "--locked", "--format-version", "1"], work))
    (crate,) = (package for package in metadata["packages"] if package["name"] == "etcd-client")
    shutil.rmtree(work / "suite")
    _copy(Path(crate["manifest_path"]).parent / "tests", work / "suite")
    _change(work / "suite" / "client.rs", r"\(DEFAULT_TEST_ENDPOINT\)", "(crate::testing::endpoint())")
    _change(work / "suite" / "testing.rs", r"\[DEFAULT_TEST_ENDPOINT\]", "[endpoint()]")
    with (work / "suite" / "testing.rs").open("a") as file:
        file.write((work / "endpoint.rs").read_text())
    protoc = work / "protoc"
    protoc.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m grpc_tools.protoc "$@"\n')
    protoc.chmod(0o755)
    build = [cargo, "test", "--no-run", "--locked", "--message-format", "json"]
    messages = run(build, work, PROTOC=str(protoc), CARGO_TARGET_DIR=str(work / "target"))
    suite = target / "rust-suite"
    suite.mkdir()
    for message in map(json.loads, messages.splitlines()):
        if message.get("executable") and message["target"]["kind"] == ["test"]:
            shutil.copy(message["executable"], suite / message["target"]["name"])
    shutil.rmtree(work)


def _lock_crates(work: Path) -> None:
    """Make Cargo.lock from crates.lock, which is the same without the name of the registry; cargo knows that."""
    run([tool("cargo"), "generate-lockfile"], work)
    lock = work / "Cargo.lock"
    (source,) = set(re.findall(r'source = "([^"]+)"', lock.read_text()))
    lock.write_text((work / "crates.lock").read_text().replace('source = "registry"', f'source = "{source}"'))


def python_suite(name: str, package: str) -> Recipe:
    """A Python environment with a package, and in its folder `suite` the tests of the package's source distribution,
    with the changes that changes.toml asks for.
    """

    def build(sources: Path, target: Path) -> None:
        python_packages(name)(sources, target)
        archives = target / "archives"
        pip = [str(target / name / "bin" / "python"), "-m", "pip", "download", "-q", "--no-deps"]
        run([*pip, "--no-binary", ":all:", "--require-hashes", "-r", "suite.txt", "-d", str(archives)], sources)
        (archive,) = archives.glob(f"{package}-*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(archives, filter="data")
        (tests,) = archives.glob("*/tests")
        _copy(tests, target / name / "suite")
        for path, changes in tomllib.loads((sources / "changes.toml").read_text()).items():
            for pattern, replacement in changes.items():
                _change(target / name / "suite" / path, pattern, replacement)
        shutil.rmtree(archives)

    return build


def _copy(source: Path, target: Path) -> None:
    """A copy that can be written to: the caches of package managers are read-only."""
    shutil.copytree(source, target)
    _writable([target, *target.rglob("*")])


def _writable(paths: Iterable[Path]) -> None:
    for path in paths:
        path.chmod(path.stat().st_mode | 0o200)


def _change(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text())
    if not count:
        raise SuiteChanged(f"{path.name} has nothing like {pattern}")
    path.write_text(text)
