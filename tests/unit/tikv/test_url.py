"""tikv:// URLs."""

import pytest

from brainctl.errors import InvalidInput
from brainctl.stores.tikv import parse_tikv_url


@pytest.mark.parametrize(
    ("url", "endpoints", "prefix"),
    [
        ("tikv://a:1/p", ["a:1"], "p"),
        ("tikv://a:1,b:2/p/q", ["a:1", "b:2"], "p/q"),
        ("tikv://a", ["a:2379"], "brainctl"),
        ("tikv://a,b:3/", ["a:2379", "b:3"], "brainctl"),
        ("tikv://[::1]:5/p/", ["[::1]:5"], "p"),
        ("tikv://[::1]/p", ["[::1]:2379"], "p"),
    ],
)
def test_what_a_url_names(url: str, endpoints: list[str], prefix: str) -> None:
    assert parse_tikv_url(url) == (endpoints, prefix)


@pytest.mark.parametrize("url", ["tikv://", "tikv:///p", "etcd://a:1", "tikv:a"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(InvalidInput):
        parse_tikv_url(url)
