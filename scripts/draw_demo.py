"""Draw docs/demo.svg from what `brainctl demo` really prints.

Ports, times and numbers of changes differ in each run: a picture that differs in them alone is left as it is.
"""

import html
import io
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "demo.svg"
COLUMNS = 88
STEP_COLUMNS = 9
# As Rich's own, but with the reader's fonts: a picture in a repository must not load anything.
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace; font-size: {char_height}px;
 line-height: {line_height}px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def shown(picture: str) -> list[str]:
    """Return the lines of output that a picture shows, without the command above them."""
    lines: dict[str, str] = {}
    for line, text in re.findall(r'clip-path="url\(#demo-line-(\d+)\)">([^<]*)</text>', picture):
        lines[line] = lines.get(line, "") + html.unescape(text).replace("\N{NO-BREAK SPACE}", " ").rstrip("\n")
    return list(lines.values())[1:]


def shape(lines: list[str]) -> list[str]:
    """Return the lines with each number, and the spaces at their ends, made the same."""
    return [re.sub(r"\d+(?:\.\d+)?", "0", line).rstrip() for line in lines]


def main() -> None:
    """Entry point."""
    command = [sys.executable, "-m", "brainctl", "demo", *sys.argv[1:]]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ brainctl demo", style="bold"))
    lines = output.splitlines()
    if PICTURE.exists() and shape(shown(PICTURE.read_text())) == shape(lines):
        return
    for line in lines:
        text = Text(line)
        text.stylize("bold green", 0, STEP_COLUMNS)
        console.print(text)
    picture = console.export_svg(title="brainctl demo", theme=MONOKAI, code_format=FRAME, unique_id="demo")
    PICTURE.write_text("\n".join(line.rstrip() for line in picture.splitlines()) + "\n")


if __name__ == "__main__":
    main()
