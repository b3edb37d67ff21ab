"""The interface to the instances that serve one store together: who they are, and who leads."""

from collections.abc import Sequence
from typing import Protocol


class Member(Protocol):
    """One instance."""

    @property
    def id(self) -> int:
        """Return its member id."""

    @property
    def name(self) -> str:
        """Return the name of the member."""

    @property
    def client_urls(self) -> Sequence[str]:
        """Return the URLs at which clients reach the member."""

    @property
    def peer_urls(self) -> Sequence[str]:
        """Return the peer URLs that the member list shows; nothing listens there."""


class Membership(Protocol):
    """Members that serve the store, as this instance knows them."""

    @property
    def members(self) -> Sequence[Member]:
        """Return the instances in the order of their ids."""

    @property
    def leader(self) -> int:
        """Return the member id of the leader, 0 while there is none."""

    def leader_urls(self) -> Sequence[str]:
        """Return where the leader serves clients; empty while it is not known."""
