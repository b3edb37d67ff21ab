"""Classes are put together, not inherited, across files: what a class may touch is visible in its own file.

Allowed bases from another module are protocols and exceptions. Anything else is in ALLOWED, with its reason.
"""

import ast
import builtins
from collections.abc import Iterator

from tests.test_tidy import ROOT

ALLOWED = {
    "tikv.prefetched_view.PrefetchedView(mvcc.view.Whole)": "methods of a protocol, in terms of its others; no state",
    "server.health.HealthCheck(server.http2.stream_writer.QuietStream)": "to be taken apart",
    "server.health.HealthList(server.http2.stream_writer.QuietStream)": "to be taken apart",
    "server.health.HealthWatch(server.http2.stream_writer.QuietStream)": "to be taken apart",
    "server.reflection.Reflection(server.http2.stream_writer.QuietStream)": "to be taken apart",
    "server.http2.streaming.StreamingCalls(server.http2.open_streams.OpenStreams)": "to be taken apart",
    "stores.etcd.store.EtcdStore(stores.unary.UnaryCalls)": "to be taken apart",
    "stores.in_process.NodeStore(stores.unary.UnaryCalls)": "to be taken apart",
    "wire.client.ClientConnection(wire.connection.Connection)": "to be taken apart",
    "wire.connection.Connection(wire.control.Control)": "to be taken apart",
    "wire.control.Control(wire.outbound.Outbound)": "to be taken apart",
    "wire.request_bodies.RequestBodies(wire.responder.Responder)": "to be taken apart",
    "wire.responder.Responder(wire.connection.Connection)": "to be taken apart",
    "wire.server.ServerConnection(wire.request_bodies.RequestBodies)": "to be taken apart",
}
"""Classes with a base in another module, each with the reason."""


class Bases:
    """The classes of a package with their bases, read from the sources."""

    def __init__(self, sources: dict[str, str]) -> None:
        """Read the sources of modules by name."""
        self.of: dict[str, list[str]] = {}
        """By class, as MODULE.NAME: its bases, in the same way; those from outside the package by name alone."""
        for module, text in sources.items():
            tree = ast.parse(text)
            known = {name: full for node in ast.walk(tree) for name, full in _imported(node)}
            known |= {node.name: f"{module}.{node.name}" for node in tree.body if isinstance(node, ast.ClassDef)}
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    self.of[f"{module}.{node.name}"] = [_resolved(base, known) for base in node.bases]

    def inherited(self) -> Iterator[str]:
        """Yield CLASS(BASE) for each base that is neither in the module of its class nor a protocol or exception."""
        for name, bases in self.of.items():
            for base in bases:
                module = name.rpartition(".")[0]
                if base in self.of and base.rpartition(".")[0] != module and not self._harmless(base):
                    yield f"{name}({base})"

    def _harmless(self, name: str) -> bool:
        return "Protocol" in self.of[name] or self._raises(name)

    def _raises(self, name: str) -> bool:
        found = getattr(builtins, name, None)
        if isinstance(found, type) and issubclass(found, BaseException):
            return True
        return any(self._raises(base) for base in self.of.get(name, ()))


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield what an import binds, with where it is from; modules and names alike, without the name of the package."""
    if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "brainctl":
        module = node.module.removeprefix("brainctl").removeprefix(".")
        for name in node.names:
            yield name.asname or name.name, f"{module}.{name.name}".removeprefix(".")


def _resolved(base: ast.expr, known: dict[str, str]) -> str:
    """Return a base class as MODULE.NAME, or as it is written when it is from outside the package."""
    while isinstance(base, ast.Subscript):
        base = base.value
    first, dot, rest = ast.unparse(base).partition(".")
    return known.get(first, first) + dot + rest


def test_no_class_has_a_base_in_another_file() -> None:
    sources = {
        ".".join(path.relative_to(ROOT / "brainctl").with_suffix("").parts): path.read_text()
        for path in (ROOT / "brainctl").rglob("*.py")
        if "etcdpb" not in path.parts
    }
    assert set(Bases(sources).inherited()) == set(ALLOWED)


def test_the_search_finds_bases_and_passes_over_protocols_and_exceptions() -> None:
    found = Bases(
        {
            "one": "from typing import Protocol\nclass Part: ...\nclass Face(Protocol): ...\nclass Bad(OSError): ...\n",
            "two": "from brainctl import one\nfrom brainctl.one import Bad, Face, Part as P\n"
            "class A(P[int]): ...\nclass B(one.Part): ...\nclass C(Face): ...\nclass D(Bad): ...\nclass E(A): ...\n",
            "three": "from brainctl.two import D\nclass F(D): ...\n",
        }
    )
    assert set(found.inherited()) == {"two.A(one.Part)", "two.B(one.Part)"}
