"""Every command says what it does, wherever a user may look."""

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import pytest

from brainctl.cli.main import COMMANDS, load, run
from brainctl.errors import ExitCode

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


def test_modules_that_pages_name_exist() -> None:
    paths = [
        f"/{path.relative_to(ROOT)}"
        for part in ("brainctl", "tests", "scripts", "bench")
        for path in (ROOT / part).rglob("*.py")
    ]
    current = [document for document in DOCUMENTS if document != "CHANGELOG.md"]
    named = {document: re.findall(r"`([\w/]+\.py)`", (ROOT / document).read_text()) for document in current}
    gone = {
        document: missing
        for document, modules in named.items()
        if (missing := [module for module in modules if not any(path.endswith(f"/{module}") for path in paths)])
    }
    assert gone == {}
    assert sum(map(len, named.values())) > 50


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


# -- command lines in pages -------------------------------------------------------------------------------------------

INLINE = re.compile(r"(?<!`)`(brainctl\s[^`]+)`(?!`)")
STANDS_FOR = {"REVISION": "5", "/etc/brainctl/serve.toml": str(ROOT / "packaging" / "serve.toml")}
"""What a page names that a parser looks into, and what is there."""
SEPARATORS = frozenset("|&;()<>")


class Parsed(Exception):
    """The command line was read, and the command would begin."""


def listed_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command line of brainctl in the listings of a page."""
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield from commands_in(line.strip().removeprefix("$ "))


def commands_in(line: str) -> Iterator[list[str]]:
    """Yield the words of each call of brainctl in a line of shell, without comments and redirections."""
    if "brainctl" not in line:
        return
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # an apostrophe: prose, or a drawing
        return
    begins = True
    command: list[str] | None = None
    for word in [*words, ";"]:
        if set(word) <= SEPARATORS:
            if command:
                yield command
            begins, command = True, None
        elif command is not None:
            command.append(STANDS_FOR.get(word, word))
        elif begins and word == "brainctl":
            command = []
        elif "=" not in word:
            begins = False


def inline_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command that a page names in running text; its arguments may be left out there."""
    for found in INLINE.findall(FENCED.sub("", text)):
        yield from commands_in(" ".join(found.split()))


def unread(argv: list[str], capsys: pytest.CaptureFixture[str], *, whole: bool) -> str:
    """Return why a command line cannot be read, "" when it can; one that is not `whole` may lack arguments."""
    try:
        code = run(argv)
    except Parsed:
        return ""
    said = capsys.readouterr().err.partition("\n")[0]
    lacking = code == ExitCode.BAD_ARGS or said.endswith("received 0")
    return "" if code == ExitCode.OK or (lacking and not whole) else f"{shlex.join(argv)}: {said or code}"


@pytest.fixture
def parses_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let commands end where they would begin to act: when their settings are known."""

    def stop(_settings: object) -> NoReturn:
        raise Parsed

    monkeypatch.setattr("brainctl.cli.command.discovered", stop)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    for name in [name for name in os.environ if name.startswith(("BRAINCTL_", "ETCD"))]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("parses_only")
@pytest.mark.parametrize("document", DOCUMENTS)
def test_command_lines_can_be_read(document: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / document).read_text()
    found = [unread(argv, capsys, whole=True) for argv in listed_commands(text)]
    found += [unread(argv, capsys, whole=False) for argv in inline_commands(text)]
    assert list(filter(None, found)) == []


@pytest.mark.usefixtures("parses_only")
def test_control_a_line_with_a_wrong_flag_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "See `brainctl verfy`, `brainctl\nstore scrubb` and `brainctl put --leese 5`; `brainctl hashkv` is right.\n\n"
    )
    text += "    $ X=1 brainctl get a | brainctl put b --nix  # c\n"
    lines = [*listed_commands(text), *inline_commands(text)]
    named = [["verfy"], ["store", "scrubb"], ["put", "--leese", "5"], ["hashkv"]]
    assert lines == [["get", "a"], ["put", "b", "--nix"], *named]
    wrong = [bool(unread(argv, capsys, whole=False)) for argv in lines]
    assert wrong == [False, True, True, True, True, False]


def test_the_pages_have_command_lines() -> None:
    texts = [(ROOT / document).read_text() for document in DOCUMENTS]
    assert sum(1 for text in texts for _ in listed_commands(text)) > 20
    assert sum(1 for text in texts for _ in inline_commands(text)) > 20


# -- figures in pages -------------------------------------------------------------------------------------------------

FIGURE = re.compile(r"([\d.]+)(?: (KiB|MiB|GiB|s|ms))?\s\(`([\w.]+)`,\s`([\w/]+)\.py`\)")
"""A number with the constant that it is, such as: 64 KiB (`LARGE_BYTES`, `server/gateway/handler.py`)."""
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def wrong_figures(text: str) -> Iterator[str]:
    """Yield the figures of a page that are not those of the code."""
    for number, unit, name, module in FIGURE.findall(text):
        value = constant(import_module(f"brainctl.{module.replace('/', '.')}"), name)
        if float(number) * UNITS.get(unit, 1) != value:
            yield f"{number} {unit}: {name} is {value}"


def constant(module: object, name: str) -> float:
    """Return a constant of a module, or the default of a field as in `Limits.streams`."""
    first, _, field = name.partition(".")
    found = getattr(module, first)
    if not field:
        value = found
    elif dataclasses.is_dataclass(found):
        value = {each.name: each.default for each in dataclasses.fields(found)}[field]
    else:
        value = found._field_defaults[field]
    assert isinstance(value, int | float)
    return value


def test_figures_are_those_of_the_code() -> None:
    texts = {document: (ROOT / document).read_text() for document in DOCUMENTS}
    assert {document: wrong for document, text in texts.items() if (wrong := list(wrong_figures(text)))} == {}
    assert len(FIGURE.findall(texts["docs/internals/threads.md"])) > 60


def test_the_page_of_threads_names_each_place_that_makes_one() -> None:
    text = (ROOT / "docs" / "internals" / "threads.md").read_text()
    package = ROOT / "brainctl"
    files = [path for part in ("engine", "node", "server", "tikv") for path in sorted((package / part).rglob("*.py"))]
    making = [path for path in files if re.search(r"\b(Thread|ThreadPoolExecutor)\(", path.read_text())]
    assert len(making) >= 3
    assert [path for path in making if f"`{path.relative_to(package)}`" not in text] == []


def test_control_a_wrong_figure_is_found() -> None:
    page = "4 KiB (`LARGE_BYTES`, `server/gateway/handler.py`), 64 KiB (`LARGE_BYTES`, `server/gateway/handler.py`)"
    assert list(wrong_figures(page)) == ["4 KiB: LARGE_BYTES is 65536"]
