"""Which keys are in which region: the encoding of keys, the cache, and batches of keys."""

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from brainctl.tikv.client.regions import Peer, Region, RegionCache, batches, decode_bound, encode_key
from brainctl.tikvpb import metapb_pb2 as meta

KEYS = st.binary(max_size=20)


def region(number: int, start: bytes, end: bytes, version: int = 1, peers: int = 3) -> Region:
    return Region(number, version, 1, start, end, tuple(Peer(number * 10 + at, at) for at in range(peers)))


def test_known_encodings() -> None:
    assert encode_key(b"") == bytes(8) + b"\xf7"
    assert encode_key(b"abc") == b"abc\0\0\0\0\0\xfa"
    assert encode_key(b"12345678") == b"12345678\xff" + bytes(8) + b"\xf7"


@settings(max_examples=200)
@given(KEYS, KEYS)
def test_encoding_keeps_the_order_and_can_be_undone(one: bytes, other: bytes) -> None:
    assert decode_bound(encode_key(one)) == one
    assert (encode_key(one) < encode_key(other)) == (one < other)


@settings(max_examples=200)
@given(KEYS, KEYS, st.integers(0, 30))
def test_a_cut_bound_means_the_smallest_key_behind_it(key: bytes, of: bytes, length: int) -> None:
    bound = encode_key(of)[:length]
    assert (encode_key(key) >= bound) == (key >= decode_bound(bound))


def test_what_the_cluster_describes() -> None:
    described = meta.Region(id=7, start_key=encode_key(b"a"), end_key=encode_key(b"m"))
    described.region_epoch.version, described.region_epoch.conf_ver = 5, 3
    described.peers.add(id=1, store_id=11)
    described.peers.add(id=2, store_id=12, role=meta.Learner)
    described.peers.add(id=3, store_id=13, is_witness=True)
    found = Region.of(described)
    assert found == Region(7, 5, 3, b"a", b"m", (Peer(1, 11),))
    assert [found.has(key) for key in (b"", b"a", b"l", b"m")] == [False, True, True, False]
    assert found.ends_before(b"n")
    assert not found.ends_before(b"m")
    assert not found._replace(end=b"").ends_before(b"m")


def test_the_cache_has_at_most_one_region_for_a_key() -> None:
    """Against a list in which the newest region that has a key counts, if nothing newer overlaps it."""
    rng = random.Random(3)
    cache, put = RegionCache(), []
    for number in range(400):
        start = rng.randrange(60)
        end = rng.choice([0, rng.randrange(start + 1, 62)])
        new = region(number, b"%02d" % start, b"%02d" % end if end else b"")
        put = [old for old in put if (new.end and old.start >= new.end) or (old.end and old.end <= new.start)] + [new]
        cache.put(new)
        if rng.randrange(5) == 0:
            gone = rng.choice(put)
            cache.drop(gone)
            put.remove(gone)
        assert len(cache) == len(put)
        for key in (b"%02d" % at for at in range(64)):
            assert cache.find(key) == next((old for old in put if old.has(key)), None)


def test_a_region_is_dropped_only_as_it_was() -> None:
    cache = RegionCache()
    old, new = region(1, b"a", b"z"), region(1, b"a", b"m", version=2)
    cache.put(old)
    cache.put(new)
    cache.drop(old)
    assert cache.find(b"b") == new


def test_peers_are_asked_in_turn() -> None:
    cache, one = RegionCache(), region(1, b"", b"")
    first, second, third = one.peers
    cache.put(one, second)
    assert cache.peer(one) == second
    assert cache.next_peer(one)
    assert cache.peer(one) == third
    assert cache.next_peer(one)
    assert cache.peer(one) == first
    # All were asked, so that it is time to ask about the region.
    assert not cache.next_peer(one)
    cache.answered(one)
    assert cache.next_peer(one)
    assert cache.lead(one, third)
    assert not cache.lead(one, Peer(99, 9))
    assert cache.peer(one) == third
    assert cache.peer(one._replace(peers=())) is None


@settings(max_examples=100)
@given(st.lists(st.tuples(KEYS, st.integers(0, 50))), st.integers(1, 60))
def test_batches_are_full_and_not_too_large(keys: list[tuple[bytes, int]], most: int) -> None:
    found = batches(keys, most)
    assert [key for batch in found for key in batch] == [key for key, _ in keys]
    sizes = iter(size for _, size in keys)
    totals = [[next(sizes) for _ in batch] for batch in found]
    assert all(sum(batch) <= most or len(batch) == 1 for batch in totals)
    assert all(sum(batch) + after[0] > most for batch, after in pairwise(totals))
