"""tikv:// URLs."""

import pytest

from brainctl.errors import InvalidInput
from brainctl.stores.tikv_url import parse_tikv_url, with_client
from brainctl.tikv.client import ClientKind, Security


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
    assert parse_tikv_url(url)[:2] == (endpoints, prefix)


@pytest.mark.parametrize(
    "url",
    ["tikv://", "tikv:///p", "etcd://a:1", "tikv:a", "tikv://?client=own", "tikv://a/p?client=rust", "tikv://a/p?ca=x"],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(InvalidInput):
        parse_tikv_url(url)


def test_settings_stand_behind_a_question_mark() -> None:
    found = parse_tikv_url("tikv://a:1/p?cacert=%2Fx%2Fca.pem&cert=c.pem&key=k%26.pem&client=package")
    assert found.prefix == "p"
    assert found.security == Security("/x/ca.pem", "c.pem", "k&.pem")
    assert found.kind is ClientKind.PACKAGE
    assert parse_tikv_url("tikv://a:1/p").kind is ClientKind.OWN
    assert parse_tikv_url("tikv://a?client=package").kind is ClientKind.PACKAGE


def test_another_client_can_be_chosen_for_a_url() -> None:
    url = "tikv://a:1/p?cacert=%2Fx%2Fca.pem&client=own"
    assert parse_tikv_url(with_client(url, "package")) == parse_tikv_url(url)._replace(kind=ClientKind.PACKAGE)
    assert parse_tikv_url(with_client("tikv://a:1/p", "package")).kind is ClientKind.PACKAGE


@pytest.mark.parametrize("given", [{"cacert": "/nowhere/ca.pem"}, {"cert": "/nowhere/c.pem"}])
def test_files_for_tls_are_looked_at_before_anything_is_reached(given: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match=r"cannot read /nowhere/ca\.pem|give both cert and key"):
        parse_tikv_url("tikv://127.0.0.1:1/p")._replace(security=Security(**given)).client()


def test_the_package_cannot_do_tls() -> None:
    with pytest.raises(InvalidInput, match="has no settings for TLS"):
        parse_tikv_url("tikv://127.0.0.1:1/p?cacert=ca.pem&client=package").client()
