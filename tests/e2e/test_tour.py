"""The tour of the README shows what its commands print, on a server of its own."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.ports import free_port
from tests.peers.process import Child, accepts
from tests.peers.servers import brainctl_argv, clean_environment

ROOT = Path(__file__).resolve().parents[2]
SERVE = "brainctl serve --data-dir data &"
ADDRESS = "127.0.0.1:2379"


def tour() -> list[tuple[str, str]]:
    """Return the commands of the tour, each with what it prints."""
    section = (ROOT / "README.md").read_text().partition("\n## Two minutes\n")[2]
    block = re.search(r"```console\n(.*?)```", section, re.DOTALL)
    assert block is not None
    found = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block[1], re.MULTILINE)
    assert found[0][0] == SERVE
    return found


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """Run the server with which the tour begins, at a free port; say ready as it does."""
    port = free_port()
    argv = [*brainctl_argv(), "serve", "--data-dir", "data", "--listen", f"127.0.0.1:{port}"]
    child = Child(["sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path), *argv], tmp_path / "log", clean_environment())
    try:
        child.wait_until(lambda: accepts(port) and "ready" in child.output())
        yield f"127.0.0.1:{port}"
    finally:
        child.stop()


def masked(text: str) -> str:
    """Return the text without what differs from run to run: times, and requests that were repeated."""
    return re.sub(r"\d+ repeated", "0 repeated", re.sub(r"\d+\.\d s\b", "0.0 s", text))


def test_the_tour_prints_what_the_readme_shows(endpoint: str, tmp_path: Path) -> None:
    (_, ready), *rest = tour()
    assert (tmp_path / "log").read_text().replace(endpoint, ADDRESS) == ready
    argv = " ".join(brainctl_argv())
    environment = clean_environment() | {"BRAINCTL_ENDPOINTS": endpoint}
    for command, printed in rest:
        line = f'brainctl() {{ {argv} "$@"; }}; {command.replace(ADDRESS, endpoint)}'
        done = subprocess.run(
            ["sh", "-c", line], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
        assert masked(done.stdout.replace(endpoint, ADDRESS)) == masked(printed), command
