"""A store is found under every form of its URL."""

import asyncio
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from brainctl.cli.settings import resolve
from brainctl.commands.store.fields import store_url
from brainctl.errors import InvalidInput
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.registry import open_store
from brainctl.stores.tikv_url import parse_tikv_url
from brainctl.stores.urls import canonical

NAME = os.fsdecode(b"a %41~?#\xff")
"""A directory's name with all that a URL, or the operating system, may stumble over."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    async def make() -> None:
        store = await open_store(store_url(str(tmp_path / NAME)), EtcdTarget(()), create=True)
        await store.put(pb.PutRequest(key=b"k", value=b"v"))
        await store.close()

    asyncio.run(make())
    assert (tmp_path / NAME).is_dir()
    return tmp_path


def test_a_directory_is_found_in_every_form(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, parent = quote(os.fsencode(NAME)), quote(str(directory))
    monkeypatch.chdir(directory)
    monkeypatch.setenv("HOME", str(directory))
    forms = [f"file://{parent}/{name}", f"file:{parent}/{name}", f"FILE://LocalHost{parent}/{name}/"]
    forms += [f"file://{name}", f"file://./{name}", f"file:{name}", f"file://~/{name}", f" file://{parent}/{name} "]
    forms += [store_url(NAME), store_url(str(directory / NAME))]

    async def find(url: str) -> str:
        store = await open_store(resolve({"store": url}, {}).store, EtcdTarget(()))
        try:
            assert (await store.range(pb.RangeRequest(key=b"k"))).count == 1
            return store.url
        finally:
            await store.close()

    for form in forms:
        found = asyncio.run(find(form))
        assert canonical(found) == found, form


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("", ""),
        ("nowhere", "nowhere"),
        ("ETCD://a:1,b:2", "etcd://a:1,b:2"),
        ("TiKV://pd/Prefix%20", "tikv://pd/Prefix%20"),
        ("file://a%2Fb%25", "file://a/b%25"),
        ("file://~user/x", "file://~user/x"),
    ],
)
def test_the_one_form(url: str, form: str) -> None:
    assert canonical(url) == form
    assert canonical(form) == form


def test_a_nul_byte_is_in_no_name() -> None:
    with pytest.raises(InvalidInput, match="NUL byte"):
        canonical("file:///a%00b")


@pytest.mark.parametrize(
    ("url", "address"),
    [("tikv://:1/p", "localhost:1"), ("tikv://::1/p", "[::1]:2379"), ("tikv://[::1]:1/p", "[::1]:1")],
)
def test_a_placement_driver_is_named_as_endpoints_are(url: str, address: str) -> None:
    assert parse_tikv_url(url)[:2] == ([address], "p")


def test_a_placement_driver_without_a_port_that_is_one_is_refused() -> None:
    with pytest.raises(InvalidInput, match="for a port"):
        parse_tikv_url("tikv://a:b/p")
