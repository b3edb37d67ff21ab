"""What a user installs: the wheel and the sdist, each in a fresh environment without the sources in reach."""

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.peers import ROOT
from tests.peers.ports import free_port
from tests.peers.process import Child, accepts

NOT_IN_IT = ("tests", "bench", "scripts")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, the wheel of the checkout, and the wheel that is built from the sdist, each by its name."""
    directory = tmp_path_factory.mktemp("dist")
    build(ROOT, directory)
    (sdist,) = directory.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(directory, filter="data")
    build(directory / sdist.name.removesuffix(".tar.gz"), directory / "from-sdist")
    (wheel,) = directory.glob("*.whl")
    (again,) = (directory / "from-sdist").glob("*.whl")
    return {"sdist": sdist, "wheel": wheel, "from-sdist": again}


def build(source: Path, target: Path) -> None:
    argv = [sys.executable, "-m", "hatchling", "build", "-d", str(target)]
    subprocess.run(argv, cwd=source, check=True, capture_output=True, timeout=120)


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a user: a home of its own, nothing that leads to the sources."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BRAINCTL", "ETCD", "PYTHON", "XDG", "VIRTUAL"))}
    return kept | {"HOME": str(tmp_path / "home"), "SHELL": "/bin/bash"}


def test_the_wheel_holds_the_package_and_nothing_else(built: dict[str, Path]) -> None:
    top = {name.split("/")[0] for name in names(built["wheel"])}
    assert {name.split("-")[0] for name in top} == {"brainctl"}
    assert not [name for name in names(built["wheel"]) if name.startswith(NOT_IN_IT)]
    data = {name.partition(".data/data/")[2] for name in names(built["wheel"])}
    assert {"share/man/man1/brainctl-get.1", "share/bash-completion/completions/brainctl"} <= data


def test_the_wheel_of_the_sdist_is_the_wheel_of_the_checkout(built: dict[str, Path]) -> None:
    assert names(built["from-sdist"]) == names(built["wheel"])


@pytest.fixture(scope="module", params=["wheel", "from-sdist"])
def installed(request: pytest.FixtureRequest, built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, and with its dependencies from where the tests have theirs.

    A path that a .pth file adds is not searched for further .pth files, so the editable checkout is not in reach.
    """
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True, timeout=120)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(place / "bin" / "python")]
    subprocess.run([*pip, "install", "-q", "--no-deps", str(built[request.param])], check=True, timeout=120)
    (own,) = place.glob("lib/python*/site-packages")
    (dependencies,) = {path for path in map(Path, sys.path) if path.name == "site-packages"}
    (own / "dependencies.pth").write_text(f"{dependencies}\n")
    return place


def run(installed: Path, tmp_path: Path, *argv: str) -> str:
    """Run the installed command; returns its standard output, and fails when it does."""
    done = subprocess.run(
        [str(installed / "bin" / "brainctl"), *argv],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def served(installed: Path, tmp_path: Path) -> Iterator[str]:
    """The installed `brainctl serve` on a new directory; gives its endpoint."""
    port = free_port()
    argv = [str(installed / "bin" / "brainctl"), "serve", "--data-dir", str(tmp_path / "data")]
    child = Child([*argv, "--listen", f"127.0.0.1:{port}"], tmp_path / "log", environment(tmp_path))
    try:
        child.wait_until(lambda: accepts(port))
        yield f"127.0.0.1:{port}"
    finally:
        child.stop()


def test_the_sources_are_not_in_reach(installed: Path, tmp_path: Path) -> None:
    program = "import brainctl; from importlib.util import find_spec as find; "
    program += "print(brainctl.__file__, find('tests'), find('bench'))"
    argv = [str(installed / "bin" / "python"), "-c", program]
    done = subprocess.run(
        argv, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=True, timeout=120
    )
    place, *others = done.stdout.split()
    assert place.startswith(str(installed))
    assert others == ["None", "None"]


def test_it_serves_gets_and_migrates(installed: Path, tmp_path: Path) -> None:
    with served(installed, tmp_path) as endpoint:
        assert run(installed, tmp_path, "--endpoints", endpoint, "put", "k", "v") == "OK\n"
        assert run(installed, tmp_path, "--endpoints", endpoint, "get", "k") == "k\nv\n"
        copy = f"file://{tmp_path / 'copy'}"
        run(installed, tmp_path, "migrate", "--from", f"etcd://{endpoint}", "--to", copy)
        assert run(installed, tmp_path, "--store", copy, "get", "k") == "k\nv\n"


def test_it_shows_the_demo(installed: Path, tmp_path: Path) -> None:
    assert "equal" in run(installed, tmp_path, "demo", "--keys", "50", "--rate", "50")


def test_it_installs_its_manual_pages_and_completions(installed: Path, tmp_path: Path) -> None:
    assert "manual pages installed in" in run(installed, tmp_path, "man", "install")
    share = tmp_path / "home" / ".local" / "share"
    assert (share / "man" / "man1" / "brainctl-get.1").read_bytes() == (ROOT / "man" / "brainctl-get.1").read_bytes()
    run(installed, tmp_path, "completion", "install")
    script = (share / "bash-completion" / "completions" / "brainctl").read_bytes()
    assert script == (ROOT / "completions" / "brainctl.bash").read_bytes()
    for shell, name in {"zsh": "_brainctl", "fish": "brainctl.fish", "powershell": "brainctl.ps1"}.items():
        run(installed, tmp_path, "completion", "install", shell, "--to", str(tmp_path / "own"))
        assert (tmp_path / "own" / name).read_bytes() == (ROOT / "completions" / name).read_bytes()
