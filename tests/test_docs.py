"""Every command says what it does, wherever a user may look."""

import re
from pathlib import Path

import pytest

from brainctl.cli import COMMANDS, load

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help(name: str) -> None:
    command = load(name)
    assert command.help
    assert command.help.strip()[0].isupper()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_a_manual_page(name: str) -> None:
    assert (ROOT / "man" / f"brainctl-{name}.1").exists()


def test_the_manual_lists_the_commands() -> None:
    text = (ROOT / "man" / "brainctl.1").read_text()
    assert [name for name in COMMANDS if name.replace("-", r"\-") not in text] == []


@pytest.mark.parametrize(
    "document", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/README.md", "docs/performance.md"]
)
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text())
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_the_index_lists_every_page() -> None:
    pages = sorted(str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md"))
    index = (ROOT / "docs" / "README.md").read_text()
    assert [page for page in pages if page != "README.md" and f"({page})" not in index] == []
