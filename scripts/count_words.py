"""Print how much of the code is explained: comments per 1000 lines of code, and the lengths of docstrings.

python scripts/count_words.py [DIRECTORY]
"""

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from statistics import median


def sources(directory: Path) -> Iterator[str]:
    """Yield the text of each module, generated ones left out."""
    for path in sorted(directory.rglob("*.py")):
        if not path.match("*_pb2.py"):
            yield path.read_text()


def comments(text: str) -> int:
    """Return the number of comments, those for linters left out."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type == tokenize.COMMENT and "noqa: " not in token.string for token in tokens)


def docstrings(text: str) -> Iterator[tuple[str, int]]:
    """Yield the kind of what has a docstring, and its number of words; 0 where a module or function has none."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield type(node).__name__.removeprefix("Async"), len((ast.get_docstring(node) or "").split())


def main() -> None:
    """Print a line for the comments, and one for each kind of docstring."""
    texts = list(sources(Path(sys.argv[1] if len(sys.argv) > 1 else "brainctl")))
    lines = sum(sum(1 for line in text.splitlines() if line.strip()) for text in texts)
    print(f"lines {lines}, comments per 1000: {1000 * sum(map(comments, texts)) / lines:.1f}")
    found = [pair for text in texts for pair in docstrings(text)]
    for kind in ("Module", "ClassDef", "FunctionDef"):
        lengths = [length for each, length in found if each == kind]
        written = [length for length in lengths if length]
        share, mean = 100 * len(written) / len(lengths), sum(written) / len(written)
        print(f"{kind}: {share:.0f}% have a docstring; words: median {median(written):.0f}, mean {mean:.1f}")


if __name__ == "__main__":
    main()
