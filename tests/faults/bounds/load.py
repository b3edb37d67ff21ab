"""Writes that are to be missed or read."""

from tests.conformance.client import Client
from tests.contract.driver import put

KEYS = 10


def write(client: Client, puts: int, size: int) -> int:
    """Put values of this size, each a revision, on a few keys; the last revision."""
    for number in range(puts):
        client.put(b"load/%d" % (number % KEYS), bytes(size))
    return client.revision


def fill(client: Client, keys: int, size: int) -> None:
    """Make that many keys, a hundred at a time."""
    value = bytes(size)
    for first in range(0, keys, 100):
        client.txn(success=[put(b"key/%08d" % number, value) for number in range(first, first + 100)])
