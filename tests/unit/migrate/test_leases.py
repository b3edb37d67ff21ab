"""Which leases are granted and dropped, and when."""

from brainctl.migrate.machine.events import LeasesFetched, LeasesListed
from brainctl.migrate.machine.lease_ledger import PLACEHOLDER_TTL, LeaseBook


def listed(revision: int, live: set[int], held: set[int]) -> LeasesListed:
    return LeasesListed(revision, frozenset(live), frozenset(held), (), final=False)


def test_a_lease_that_vanished_gets_a_placeholder() -> None:
    book = LeaseBook([1])
    assert book.missing(frozenset({1, 2, 3})) == (2, 3)
    book.fetched(LeasesFetched((2, 3), ((2, 100, 50),)))
    assert book.missing(frozenset({1, 2, 3})) == ()
    assert set(book.take_grants()) == {(2, 100, 50), (3, PLACEHOLDER_TTL, PLACEHOLDER_TTL)}
    assert book.held == {1, 2, 3}


def test_a_lease_goes_when_the_deletes_of_its_keys_are_applied() -> None:
    book = LeaseBook([1, 2])
    book.listed(listed(10, {1}, {1, 2}))
    assert book.take_drops(9) == ()
    assert not book.settled
    assert book.take_drops(10) == (2,)
    assert book.settled
    assert book.held == {1}


def test_a_lease_granted_after_the_list_was_asked_for_stays() -> None:
    book = LeaseBook([1])
    book.fetched(LeasesFetched((2,), ((2, 100, 50),)))
    book.take_grants()
    book.listed(listed(10, {1}, {1}))
    assert book.take_drops(10) == ()


def test_a_lease_whose_id_is_used_again_stays() -> None:
    book = LeaseBook([1])
    book.listed(listed(10, set(), {1}))
    book.keep(frozenset({1}), 11)
    assert book.take_drops(11) == ()


def test_a_lease_whose_last_keys_are_still_to_be_written_goes_after_them() -> None:
    book = LeaseBook([1])
    book.listed(listed(10, set(), {1}))
    book.keep(frozenset({1}), 10)
    assert book.take_drops(10) == (1,)
