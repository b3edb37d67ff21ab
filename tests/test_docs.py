"""Every command says what it does, wherever a user may look."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brainctl.cli.main import COMMANDS, load

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


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


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    assert list(broken_links(ROOT / document)) == []


def broken_links(document: Path) -> Iterator[str]:
    """Yield the links of a document to files that are not there, and to headings that its file does not have."""
    text = FENCED.sub("", document.read_text())
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, made as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", document.read_text()), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.strip().replace(" ", "-") for word in words}


def test_control_a_broken_link_and_a_broken_anchor_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One\n[a](missing.md) [b](#one) [c](#two) [d](page.md#one)\n```\n[e](code.md)\n```\n")
    assert list(broken_links(page)) == ["missing.md", "#two"]


def test_the_index_lists_every_page() -> None:
    pages = sorted(str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md"))
    index = (ROOT / "docs" / "README.md").read_text()
    assert [page for page in pages if page != "README.md" and f"({page})" not in index] == []


def build_site(tmp_path: Path, *pages: str) -> subprocess.CompletedProcess[str]:
    """Build the site of a copy of the pages, with further text at the end of each of `pages`."""
    for name in ("docs", "scripts", "brainctl", "mkdocs.yml", *(page for page in DOCUMENTS if "/" not in page)):
        source, target = ROOT / name, tmp_path / name
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, ignore=ignored) if source.is_dir() else shutil.copyfile(source, target)
    for page in pages:
        with (tmp_path / page).open("a") as file:
            file.write("\n[nowhere](missing.md)\n")
    argv = [sys.executable, str(tmp_path / "scripts" / "build_docs.py"), str(tmp_path / "site")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_site_has_a_page_for_each_command(tmp_path: Path) -> None:
    done = build_site(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [name for name in COMMANDS if not (tmp_path / "site" / "commands" / name / "index.html").is_file()] == []


def test_control_a_link_to_nowhere_fails_the_site(tmp_path: Path) -> None:
    done = build_site(tmp_path, "docs/serve.md")
    assert done.returncode == 1
    assert "missing.md" in done.stderr
