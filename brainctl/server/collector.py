"""Python's collector of cycles, so that it does not stop a server for as long as it takes to walk through all it has.

What is there once the store is open lives as long as the server: it is left out of every collection. The young
generations, where nearly all garbage is, are small, so that a collection of them takes a millisecond or two; the
oldest, which is everything that was made since, is looked at rarely.
"""

import gc
from typing import Final

YOUNG: Final = 2_000
"""Objects that are made before the youngest generation is collected."""
MIDDLE: Final = 5
"""Collections of the youngest before the next one is."""
OLD: Final = 5_000
"""The same of that one: tens of millions of objects."""


def calm_collector() -> None:
    """Set it up for this process; to be called when everything that stays is there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
