"""Python's collector of cycles, set up so that it does not stop the server while it walks through all objects.

What exists once the store is open lives as long as the server: it is left out of every collection. The young
generations, where nearly all garbage is, are small, so that a collection of them takes a millisecond or two; the
oldest, with everything that was made since, is collected rarely.
"""

import gc
from typing import Final

YOUNG: Final = 2_000
"""Number of objects that are made before the youngest generation is collected."""
MIDDLE: Final = 5
"""Number of collections of the youngest generation before one of the middle generation."""
OLD: Final = 5_000
"""Number of collections of the middle generation before one of the oldest: tens of millions of objects."""


def calm_collector() -> None:
    """Set the collector up for this process; call it when everything that stays was made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
