"""Errors have fields: nobody in the package looks into their texts to find out what happened.

A text is for people, and is changed for them. What a caller has to tell apart is a class, a code or a field.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "brainctl"
NAMES = frozenset({"caught", "damage", "err", "error", "errors", "exc", "exception", "failed", "failure", "refused"})
"""What an error is called, besides the names that `except` binds."""
TEXTS = frozenset({"abort", "args", "details", "message", "raw", "reason", "strerror", "text"})
"""Attributes and methods of errors that are texts."""
LOOKS = frozenset({"count", "endswith", "find", "findall", "fullmatch", "index", "match", "search", "startswith"})
FOREIGN = {
    "tikv/client/package_texts.py": "the package of TiKV raises one class, whose text is all that it tells",
    "tikv/client/key_errors.py": "TiKV has no field for what it tells in the text of `abort`",
    "stores/etcd/diagnosis.py": "OpenSSL tells by the name of a reason which side refused a handshake",
}
"""Modules that translate what others tell in texts alone into fields, each with the reason."""


def looks_into_texts(source: str) -> Iterator[str]:
    """Yield each expression that looks for a part of an error's text."""
    tree = ast.parse(source)
    names = NAMES | {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            pairs = zip(node.ops, node.comparators, strict=True)
            found = any(isinstance(how, ast.In | ast.NotIn) and _is_text(where, names) for how, where in pairs)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            within = [node.func.value, *node.args]
            found = node.func.attr in LOOKS and any(_is_text(each, names) for each in within)
        else:
            continue
        if found:
            yield ast.unparse(node)


def _is_text(node: ast.expr, names: frozenset[str]) -> bool:
    """Return whether an expression is an error, or a text of one."""
    match node:
        case ast.Name(name):
            return name in names
        case ast.Attribute(value, name):
            return name in NAMES or (name in TEXTS and _is_text(value, names))
        case ast.Subscript(value):
            return _is_text(value, names)
        case ast.BoolOp(values=parts) | ast.Call(ast.Name("str" | "repr"), args=parts):
            return any(_is_text(part, names) for part in parts)
        case ast.Call(ast.Attribute() as method):
            return _is_text(method.value, names)
        case _:
            return False


def test_nobody_looks_into_the_text_of_an_error() -> None:
    sources = {str(path.relative_to(PACKAGE)): path for path in PACKAGE.rglob("*.py") if "_pb2" not in path.name}
    found = {name: list(looks_into_texts(path.read_text())) for name, path in sources.items()}
    assert {name: texts for name, texts in found.items() if texts and name not in FOREIGN} == {}
    assert [name for name in FOREIGN if not found[name]] == [], "these need no exception"


@pytest.mark.parametrize(
    "look",
    [
        "'x' in error",
        "'x' in str(error)",
        "'x' not in self.damage.message",
        "'x' in e.details()",
        "str(e).startswith('x')",
        "e.args[0].find('x')",
        "re.search('x', str(e))",
        "'x' in (error.reason or '').upper()",
    ],
)
def test_control_a_look_into_a_text_is_found(look: str) -> None:
    code = "try:\n    pass\nexcept OSError as e:\n    {}\n"
    assert list(looks_into_texts(code.format(look)))


@pytest.mark.parametrize("fine", ["error.code in codes", "error.status == COMPACTED", "e.errno in (1, 2)", "k in keys"])
def test_control_fields_may_be_asked(fine: str) -> None:
    assert not list(looks_into_texts(f"try:\n    pass\nexcept OSError as e:\n    {fine}\n"))
