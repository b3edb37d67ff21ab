"""The small buckets of a bbolt file are kept while it arrives in pieces, and the key revisions are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.errors import StoreDamaged
from brainctl.wire.bbolt import PAGE_SIZE, Items, Reader, Writer
from brainctl.wire.bbolt_sieve import Sieve


def database(buckets: dict[bytes, Items]) -> bytes:
    pages: list[bytes] = []
    writer = Writer(pages.append)
    for name in sorted(buckets):
        writer.bucket(name, buckets[name])
    return writer.finish() + b"".join(pages)


def revisions(count: int, size: int) -> list[tuple[bytes, bytes]]:
    return [(b"%b_%b" % (n.to_bytes(8), bytes(8)), b"v" * size) for n in range(1, count + 1)]


def sieved(sieve: Sieve, file: bytes, piece: int) -> tuple[bytes, int]:
    """The file with holes, and how many bytes of it are kept."""
    holes, kept = bytearray(len(file)), 0
    for at in range(0, len(file), piece):
        for offset, page in sieve.feed(file[at : at + piece]):
            holes[offset : offset + len(page)] = page
            kept += len(page)
    return bytes(holes), kept


USERS = [(b"user-%04d" % n, b"x" * 100) for n in range(300)]


@given(piece=st.integers(1000, 50_000), size=st.sampled_from([10, 300, 5_000]))
def test_all_but_the_key_revisions_is_kept(piece: int, size: int) -> None:
    file = database({b"authUsers": USERS, b"key": revisions(200, size), b"lease": [(bytes(8), b"lease")]})
    holes, kept = sieved(Sieve(), file, piece)
    reader = Reader(holes)
    assert list(reader.items(b"authUsers")) == USERS
    assert list(reader.items(b"lease")) == [(bytes(8), b"lease")]
    leaves = 200 * size
    assert kept <= len(file) - leaves * 9 // 10


def test_what_looks_like_a_key_revision_is_missed_and_then_kept() -> None:
    users = [(b"12345678_12345678", b"record")]
    file = database({b"authUsers": users, b"key": revisions(10, 10)})
    holes, _ = sieved(Sieve(), file, PAGE_SIZE)
    with pytest.raises(StoreDamaged):
        list(Reader(holes).items(b"authUsers"))
    whole, kept = sieved(Sieve(everything=True), file, PAGE_SIZE)
    assert list(Reader(whole).items(b"authUsers")) == users
    assert kept == len(file)


def test_a_stale_page_takes_nothing_with_it() -> None:
    """A page that nobody refers to any more may say that it goes on over pages that are in use by now."""
    file = bytearray(database({b"authUsers": USERS, b"key": revisions(1, 3 * PAGE_SIZE)}))
    at = file.index(b"authUsers")
    assert at
    stale = next(
        n
        for n in range(2, len(file) // PAGE_SIZE)
        if file[n * PAGE_SIZE : n * PAGE_SIZE + 8] != n.to_bytes(8, "little")
    )
    file[stale * PAGE_SIZE : stale * PAGE_SIZE + 8] = stale.to_bytes(8, "little")
    holes, _ = sieved(Sieve(), bytes(file), PAGE_SIZE)
    assert list(Reader(holes).items(b"authUsers")) == USERS


def test_what_is_no_database_is_refused() -> None:
    with pytest.raises(StoreDamaged):
        Sieve().feed(b"not a database" * 100)
