"""Questions of DNS and their answers."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.wire import dns

NAME = b"\x0c_etcd-client\x04_tcp\x07example\x00"
POINTER = b"\xc0\x0c"
"""To the name of the question, which comes behind the header."""


def record(priority: int, weight: int, port: int, host: bytes, kind: int = dns.SRV) -> bytes:
    data = priority.to_bytes(2) + weight.to_bytes(2) + port.to_bytes(2) + host
    return POINTER + kind.to_bytes(2) + b"\0\1\0\0\0\x3c" + len(data).to_bytes(2) + data


def reply(question: bytes, *records: bytes, flags: int = 0x8180) -> bytes:
    return (
        question[:2]
        + flags.to_bytes(2)
        + b"\0\1"
        + len(records).to_bytes(2)
        + b"\0\0\0\0"
        + question[12:]
        + b"".join(records)
    )


def test_a_question_is_a_query_for_services() -> None:
    assert dns.question(7, "_etcd-client._tcp.example.") == b"\0\7\1\0\0\1\0\0\0\0\0\0" + NAME + b"\0\x21\0\1"


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64 + ".example"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of idna, or of ours
        dns.question(7, name)


def test_services_are_read_with_compressed_names() -> None:
    question = dns.question(7, "_etcd-client._tcp.example")
    example = bytes([0xC0, 12 + 13 + 5])
    found = dns.answer(
        7, reply(question, record(1, 2, 2379, b"\1a" + example), record(0, 0, 1, b"\1b\0"), record(0, 0, 0, b"", 1))
    )
    assert found == dns.Answer(0, False, [dns.Service(1, 2, 2379, "a.example"), dns.Service(0, 0, 1, "b")])


def test_a_name_that_does_not_exist_and_an_answer_that_was_cut() -> None:
    question = dns.question(7, "a.example")
    assert dns.answer(7, reply(question, flags=0x8183)) == dns.Answer(3, False, [])
    assert dns.answer(7, reply(question, flags=0x8380)).truncated


@pytest.mark.parametrize("host", [bytes([0xC0, 0x2F + 16]), b"\x3f", b"\1\xff\0"])
def test_names_that_do_not_end_are_refused(host: bytes) -> None:
    question = dns.question(7, "_etcd-client._tcp.example")
    loop = bytes([0xC0, len(question) + 12 + 6])  # to itself
    for name in (host, loop):
        with pytest.raises(dns.Malformed):
            dns.answer(7, reply(question, record(0, 0, 1, name)))


@given(st.binary(max_size=200))
def test_anything_else_is_refused_too(data: bytes) -> None:
    with pytest.raises(dns.Malformed):
        dns.answer(7, b"\0\6" + data)
    with contextlib.suppress(dns.Malformed):
        dns.answer(7, b"\0\7\x80\0" + data)
