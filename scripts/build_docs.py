"""Build the documentation site: the pages of docs/, those of the project, and one for each command.

`build_docs.py DIRECTORY` writes the site there; `--check` builds it in a scratch directory and keeps nothing. A link or
an anchor that leads nowhere fails the build. The navigation is that of docs/README.md, and the pages of commands come
from the same source as --help and man.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from brainctl.cli.examples import examples_of
from brainctl.cli.main import COMMANDS, load, root

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md")
SOURCE_LINK = re.compile(r"\[([^\]]+)\]\((?:\.\./)*(?:man|LICENSE|changelog|bench|brainctl|tests|packaging)[^)]*\)")
"""A link to something that is not a page of the site: its text stays, the link goes."""


def lay_out(pages: Path) -> None:
    """Copy the pages below `pages`, each at its place in the repository, and write those of the commands."""
    for name in PROJECT:
        _copy(ROOT / name, pages / name)
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.is_file():
            _copy(path, pages / path.relative_to(ROOT))
    (pages / "commands").mkdir()
    for name in COMMANDS:
        (pages / "commands" / f"{name}.md").write_text("\n".join(command_page(name, load(name))) + "\n")
    (pages / "commands" / "index.md").write_text("\n".join(command_index()) + "\n")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".md":
        target.write_text(SOURCE_LINK.sub(r"\1", source.read_text()))
    else:
        shutil.copyfile(source, target)


def command_index() -> Iterator[str]:
    """Yield the lines of the page that lists the commands and the global flags."""
    yield from ("# Commands", "", "| command | |", "|---|---|")
    for name, (_, summary) in COMMANDS.items():
        yield f"| [brainctl {name}]({name}.md) | {summary} |"
    yield from ("", "## Global flags", "", "They are accepted before and after the command.", "")
    yield from _flags(root())


def command_page(name: str, command: TyperCommand | TyperGroup) -> Iterator[str]:
    """Yield the lines of the page of a command."""
    yield from (f"# brainctl {name}", "", f"{COMMANDS[name][1]}.", "")
    if isinstance(command, TyperGroup):
        for below, sub in command.commands.items():
            assert isinstance(sub, TyperCommand)
            yield from (f"## brainctl {name} {below}", "")
            yield from _usage(f"{name} {below}", sub)
    else:
        yield from _usage(name, command)
    if examples := examples_of(name):
        yield from ("## Examples", "", "```console")
        for example in examples:
            yield from (f"# {example.purpose}", f"$ {example.line}")
        yield from ("```", "")
    yield from ("The [global flags](index.md#global-flags) apply too.", "")


def _usage(words: str, command: TyperCommand) -> Iterator[str]:
    names = [p.metavar or p.name for p in command.params if isinstance(p, TyperArgument) and not p.hidden]
    yield from ("```", " ".join(["brainctl", *words.split(), "[flags]", *(name for name in names if name)]), "```", "")
    for paragraph in (command.help or "").split("\n\n"):
        verbatim = paragraph.startswith("    ")
        yield from ("```", paragraph, "```", "") if verbatim else (_escape(paragraph), "")
    yield from _flags(command)


def _flags(command: TyperCommand | TyperGroup) -> Iterator[str]:
    flags = [p for p in command.params if isinstance(p, TyperOption) and not p.hidden and "--help" not in p.opts]
    if not flags:
        return
    yield from ("| flag | |", "|---|---|")
    for flag in flags:
        names = ", ".join(f"`{name}`" for name in [*flag.opts, *flag.secondary_opts])
        value = "" if flag.is_flag else f" `{flag.metavar or 'string'}`".replace("|", "\\|")
        yield f"| {names}{value} | {_escape(flag.help or '')} |"
    yield ""


def _escape(text: str) -> str:
    for character in "\\<*_|[":
        text = text.replace(character, f"\\{character}")
    return text


def navigation() -> list[object]:
    """Return the navigation: the sections of docs/README.md, then the commands and the pages of the project."""
    sections: list[object] = [{"brainctl": "README.md"}]
    for paragraph in (ROOT / "docs" / "README.md").read_text().split("\n\n"):
        if found := re.findall(r"^\* .*?\[([^\]]+)\]\(([^)#]+\.md)", paragraph, re.MULTILINE):
            sections.append([{title[0].upper() + title[1:]: f"docs/{path}"} for title, path in found])
        elif paragraph.endswith(":"):
            sections.append(paragraph.removesuffix(":").split(",")[0])
    titled: list[object] = [sections[0]]
    for title, pages in pairwise(sections):
        if isinstance(title, str) and isinstance(pages, list):
            titled.append({title: pages})
    commands = [{"All commands": "commands/index.md"}, *({name: f"commands/{name}.md"} for name in COMMANDS)]
    project = [{name.removesuffix(".md").capitalize().replace("_", " "): name} for name in PROJECT[1:]]
    return [*titled, {"Commands": commands}, {"Project": [*project, {"All pages": "docs/README.md"}]}]


def build(site: Path) -> int:
    """Build the site into `site`; returns the exit code of mkdocs, whose messages are shown when it fails.

    Not with --quiet: mkdocs then does not count the warnings that --strict is about.
    """
    with tempfile.TemporaryDirectory() as name:
        pages, settings = Path(name, "pages"), Path(name, "mkdocs.yml")
        lay_out(pages)
        settings.write_text(f"{(ROOT / 'mkdocs.yml').read_text()}nav: {json.dumps(navigation())}\n")
        argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(settings), "-d", str(site)]
        environment = os.environ | {"BRAINCTL_SITE_PAGES": str(pages), "NO_MKDOCS_2_WARNING": "1"}
        done = subprocess.run(argv, env=environment, check=False, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
        return done.returncode


def main() -> int:
    """Build into the directory named, or with --check into one that is removed."""
    if sys.argv[1:] == ["--check"]:
        with tempfile.TemporaryDirectory() as name:
            return build(Path(name, "site"))
    (directory,) = sys.argv[1:]
    return build(Path(directory).resolve())


if __name__ == "__main__":
    sys.exit(main())
