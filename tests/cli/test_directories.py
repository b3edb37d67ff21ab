"""Commands on a directory: a mistyped name makes no store, a first write does."""

from pathlib import Path

import pytest

from brainctl.errors import ExitCode
from tests.peers.servers import brainctl


@pytest.mark.parametrize("argv", [("get", "k"), ("del", "k"), ("watch", "k"), ("store", "info")])
def test_a_directory_without_a_store_is_refused(argv: tuple[str, ...], tmp_path: Path) -> None:
    result = brainctl(*argv, "--store", f"file://{tmp_path / 'wrong'}")
    assert result.returncode == ExitCode.INVALID_INPUT
    assert "there is no store in" in result.stderr
    assert not (tmp_path / "wrong").exists()


def test_a_first_put_makes_one(tmp_path: Path) -> None:
    url = f"file://{tmp_path / 'new'}"
    assert brainctl("put", "k", "v", "--store", url).returncode == 0
    assert brainctl("get", "k", "--print-value-only", "--store", url).stdout == "v\n"
