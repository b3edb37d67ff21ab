"""A URL scheme is registered once, and every list of schemes comes from there."""

import ast
import asyncio
import re
from importlib import import_module
from pathlib import Path

import pytest

import brainctl
from brainctl.errors import BrainctlError, InvalidInput, Unsupported
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.registry import create_store, open_replica, open_store
from brainctl.stores.schemes import SCHEMES, Can, Scheme, forms
from brainctl.stores.urls import directory_of, having, parse

FUNCTIONS = {
    Can.OPEN: "open_store",
    Can.CREATE: "create_store",
    Can.SERVE: "open_backend",
    Can.TARGET: "open_target",
    Can.SOURCE: "open_source",
}


def defined(driver: str) -> set[str]:
    """The coroutine functions that a module defines itself."""
    tree = ast.parse(Path(str(import_module(driver).__file__)).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}


def texts(source: str) -> set[str]:
    """The strings of a module, its docstrings left out."""
    tree = ast.parse(source)
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in said)
    return {node.value for node in nodes if isinstance(node.value, str)}


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_a_driver_has_what_its_scheme_can(scheme: Scheme) -> None:
    promised = {FUNCTIONS[what] for what in scheme.can if what in FUNCTIONS}
    if Can.OPEN in scheme.can:
        promised.discard("open_source")  # any store is read by the same source
    assert defined(scheme.driver) & set(FUNCTIONS.values()) == promised


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_the_parts_of_a_url(scheme: Scheme) -> None:
    found = parse(scheme.example)
    assert (found.scheme, found.text) == (scheme, scheme.example)
    assert (directory_of(scheme.example) is not None) == (Can.FILES in scheme.can)
    for spelling in scheme.spellings:
        assert parse(f"{spelling.upper()}://a:1,b:2").scheme is scheme
        assert parse(f"{spelling}://a:1,b:2").endpoints == (f"{spelling}://a:1", f"{spelling}://b:2")
    with pytest.raises(InvalidInput, match="is no store"):
        parse(scheme.name)


@pytest.mark.parametrize("what", Can)
def test_a_refusal_names_those_that_can(what: Can) -> None:
    for scheme in SCHEMES:
        if what in scheme.can:
            assert having(what, scheme.example).scheme is scheme
            assert scheme.form in forms(what)
        else:
            with pytest.raises(InvalidInput, match=re.escape(f"{forms(what)} can")):
                having(what, scheme.example)


def test_a_plain_etcd_keeps_no_revisions() -> None:
    with pytest.raises(Unsupported, match="because it would not keep revisions"):
        asyncio.run(open_replica("etcd://127.0.0.1:1"))


def test_only_a_store_that_calls_a_server_asks_how(tmp_path: Path) -> None:
    def password() -> EtcdTarget:
        raise InvalidInput("a password was asked for")

    async def use(url: str) -> None:
        store = await open_store(url, password)
        await store.close()

    url = f"file://{tmp_path / 'store'}"
    asyncio.run(create_store(url))
    asyncio.run(use(url))
    for other in ("", "etcd://127.0.0.1:1", "https://127.0.0.1:1"):
        with pytest.raises(BrainctlError, match="a password was asked for"):
            asyncio.run(use(other))


def test_nobody_else_lists_schemes() -> None:
    """A text that names several schemes is made by `forms`; commands to type are no lists."""
    several = re.compile("|".join(f"{scheme.name}://" for scheme in SCHEMES))
    root = Path(brainctl.__file__).parent
    said = {str(path.relative_to(root)): texts(path.read_text()) for path in root.rglob("*.py")}
    lists = [text for found in said.values() for text in found if len(set(several.findall(text))) > 1]
    assert [text for text in lists if "brainctl " not in text] == []
    assert texts('"""etcd:// and file://"""; a = "etcd://, file://"') == {"etcd://, file://"}
