"""Set the times and sizes of the TiKV clients. They are looked up here when they are used, so tests can change them."""

PATIENCE = 8.0
"""Seconds for which a call waits for locks and for TiKV to come back; a dead writer's locks last about three."""
ANSWER_SECONDS = 6.0
"""Seconds to wait for the answer to one request; a connection that has gone silent would be waited for for ever."""
LEAST_SECONDS = 1.0
"""Seconds that each request gets, also when the time of its call has run out meanwhile: so what is reported then is why
the call took so long, and not that its last request was cut short.
"""
LOCK_SECONDS = 30.0
"""Seconds to wait for a lock, which may only come when that of a dead process has expired."""
LONGEST_READ_SECONDS = 1500.0
"""Seconds after its timestamp for which a snapshot is read. Later TiKV may have dropped what it needs (`safepoint`)."""
PAUSE = 0.05
"""Seconds between two attempts of what is repeated as a whole."""
FIRST_PAUSE = 0.005
"""Seconds before the second attempt of a request; each later pause is twice as long as the one before."""
LONGEST_PAUSE = 0.25
"""Seconds of the longest pause between two attempts of a request."""

LARGEST_PAGE = 512
"""Pairs in the largest page. Pages grow as the page before was light; this bounds what a stretch of larger values
costs.
"""
FIRST_KEY_PAGE = 128
"""Keys in the first page of a scan without values."""
LARGEST_KEY_PAGE = 1024
"""Keys in the largest page without values. It is below what is likely to be refused where a server sends the values all
the same: the package retries such a request for seconds.
"""
GROWTH = 8
"""The factor by which a page is larger than the one before it, at most."""

LOCK_TTL_MS = 3_000
"""Milliseconds after which a lock counts as left by a dead process; a living one renews it before."""
HEARTBEAT_SECONDS = 1.0
"""Seconds between two renewals of the locks of a transaction that is still under way."""
ONE_PHASE_BYTES = 4 << 20
"""Bytes of the largest transaction that is committed by its prewrite alone, when all its keys are in one region."""
PREWRITE_BYTES = 1 << 20
"""Bytes of writes in one request of a larger transaction; a single larger write is sent by itself."""
COMMIT_BYTES = 128 << 10
"""Bytes of keys in one request of the second phase."""
LOCKS_PER_SCAN = 1024
"""Locks asked for at a time when those that are older than the safe point are ended."""
