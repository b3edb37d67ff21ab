"""What is kept of the newest revisions to know a source by."""

from hypothesis import given
from hypothesis import strategies as st

from brainctl.migrate.machine.events import RevisionRead
from brainctl.migrate.machine.witness import WINDOW, WINDOW_BYTES, Position, Witness, digest

SIZES = st.lists(st.lists(st.sampled_from([1, 1, 1, WINDOW_BYTES // 3, WINDOW_BYTES]), max_size=12), max_size=5)


def reads_of(first: int, sizes: list[int]) -> list[RevisionRead]:
    return [RevisionRead(first + n, [b"%d" % (first + n)], size, frozenset()) for n, size in enumerate(sizes)]


@given(SIZES)
def test_the_newest_revisions_have_digests(batches: list[list[int]]) -> None:
    witness, given_so_far = Witness(1), []
    for sizes in batches:
        reads = reads_of(witness.revision + 1, sizes)
        witness = Witness.decode(witness.revision, witness.encode()).extend(reads)
        given_so_far += reads
    assert witness.revision == 1 + len(given_so_far)
    count = len(witness.digests)
    assert witness.digests == tuple(digest(read) for read in given_so_far[len(given_so_far) - count :])
    assert count <= WINDOW
    assert count > 0 or not given_so_far
    assert count == min(WINDOW, len(given_so_far)) or any(read.size > 1 for read in given_so_far)


def test_what_was_known_is_not_taken_twice() -> None:
    witness = Witness(1).extend(reads_of(2, [1, 1, 1]))
    assert witness.extend(reads_of(3, [1, 1])) == witness
    assert witness.extend(reads_of(3, [1, 1, 1])) == Witness(1).extend(reads_of(2, [1] * 4))


def test_a_gap_begins_anew() -> None:
    witness = Witness(1).extend([*reads_of(2, [1, 1]), *reads_of(9, [1])])
    assert (witness.revision, len(witness.digests), witness.first) == (9, 1, 9)
    assert witness.extend([RevisionRead(10, [], 0, frozenset())]) == Witness(10)


def test_a_digest_is_of_events_in_their_order() -> None:
    kinds = [[b"a", b"b"], [b"b", b"a"], [b"ab"], [b"a"], [b"a", b"", b"b"]]
    assert len({digest(RevisionRead(5, events, 1, frozenset())) for events in kinds}) == len(kinds)


def test_a_log_that_is_not_told_of_is_never_behind() -> None:
    before = Position(5, 100)
    assert [Position(*at).is_behind(before) for at in ((5, 100), (6, 101), (0, 0), (5, 0), (4, 200), (6, 99))] == [
        *(False, False, False, False, True, True)
    ]
