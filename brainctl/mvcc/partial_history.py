"""Changes for a store that has only some of the keys as they were before."""

from collections.abc import Callable, Iterable

from brainctl.mvcc.keyversion import KeyVersion


def of_known_keys(changes: Iterable[KeyVersion], is_live: Callable[[bytes], bool]) -> list[KeyVersion]:
    """Return the changes that the store can make: those of its keys, and creations, from which on a key is its own.

    A changed or deleted version that the store lacks would have no version before it.

    Args:
        changes: The changes of whole revisions, in order.
        is_live: Whether the store has a key, before these changes.
    """
    live: dict[bytes, bool] = {}
    kept = []
    for change in changes:
        known = live.get(change.key)
        if known is None:
            known = is_live(change.key)
        if known or change.version == 1:
            kept.append(change)
            known = change.version > 0
        live[change.key] = known
    return kept
