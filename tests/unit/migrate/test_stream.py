"""Watch responses become whole revisions, wherever a server cuts them."""

from hypothesis import given
from hypothesis import strategies as st

from brainctl.etcdpb import kv_pb2 as kvpb
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.etcd_source.revision_assembler import Assembler


def event(revision: int, key: bytes) -> kvpb.Event:
    return kvpb.Event(kv=kvpb.KeyValue(key=key, mod_revision=revision, version=1, lease=revision % 3))


def response(events: list[kvpb.Event], *, fragment: bool) -> pb.WatchResponse:
    return pb.WatchResponse(events=events, fragment=fragment)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    cuts=st.sets(st.integers(1, 39)),
    whole=st.sets(st.integers(1, 8)),
)
def test_fragments_are_put_together(sizes: list[int], cuts: set[int], whole: set[int]) -> None:
    """`cuts` are where fragments end, `whole` the revisions after which a response ends for good."""
    events = [event(revision, b"%d" % n) for revision, size in enumerate(sizes, 2) for n in range(size)]
    assembler, found, part = Assembler(), [], []
    for place, entry in enumerate(events, 1):
        part.append(entry)
        last_of_revision = place == len(events) or events[place].kv.mod_revision != entry.kv.mod_revision
        final = place == len(events) or (last_of_revision and entry.kv.mod_revision in whole)
        if final or place in cuts:
            found += assembler.feed(response(part, fragment=not final))
            part = []
    assert [read.revision for read in found] == list(range(2, len(sizes) + 2))
    assert [len(read.events) for read in found] == sizes
    assert [encoded for read in found for encoded in read.events] == [entry.SerializeToString() for entry in events]


def test_leases_and_sizes_are_noted() -> None:
    (read,) = Assembler().feed(response([event(4, b"a"), event(4, b"b")], fragment=False))
    assert read.leases == {1}
    assert read.size == sum(map(len, read.events))


def test_an_open_revision_is_held_back() -> None:
    assembler = Assembler()
    assert [read.revision for read in assembler.feed(response([event(2, b"a"), event(3, b"a")], fragment=True))] == [2]
    (read,) = assembler.feed(response([event(3, b"b")], fragment=False))
    assert len(read.events) == 2
