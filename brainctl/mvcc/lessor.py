"""Leases: which exist, when they expire, which keys are attached to them (etcd server/lease/lessor.go).

A lease is durable as a small record, named by `lease_record` and holding its granted TTL; which keys are attached to it
is found in the versions of the keys themselves. The lessor follows the commits and never decides anything: grants and
revokes are writes, evaluated in a batch. The time at which a lease expires is not durable: after a restart each has its
full TTL.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from brainctl.clock import Clock
from brainctl.errors import LEASE_EXISTS, LEASE_NOT_FOUND, LEASE_TTL_TOO_LARGE, ApiError
from brainctl.mvcc.batch import Batch, lease_record
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.steps import Steps, in_pieces

LEASES = b"lease/"
"""The names of all lease records start with this."""
MIN_TTL = 2
"""Seconds: etcd's ceil(1.5 * election timeout) with the default timeout of one second."""
MAX_TTL = 9_000_000_000
"""Seconds: etcd refuses leases with a longer TTL."""
REVOKE_RETRY_SECONDS = 3.0
"""After this time a lease that expired and still exists is offered for revocation again."""


def encode_ttl(ttl: int) -> bytes:
    """Return the value of a lease record: the granted TTL in seconds, 8 bytes, big endian."""
    return ttl.to_bytes(8)


def decode_ttl(record: bytes) -> int:
    """Return the granted TTL, in seconds, that a lease record holds."""
    return int.from_bytes(record)


def lease_id(name: bytes) -> int:
    """Return the id in the name of a lease record, an int64."""
    return int.from_bytes(bytes.fromhex(name[len(LEASES) :].decode()), signed=True)


@dataclass(slots=True)
class Lease:
    """A lease that is durable."""

    id: int
    ttl: int
    """Granted time to live, in seconds."""
    expiry: float
    """On the monotonic clock, less the seconds of `Lessor.leave_out`."""


class Lessor:
    """The durable leases of a store."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lost = 0.0
        """Seconds that do not count: nobody could keep a lease alive in them."""
        self._leases: dict[int, Lease] = {}
        self._keys: dict[int, set[bytes]] = {}
        self._lease_of: dict[bytes, int] = {}
        # A heap of the earliest times at which leases may expire. Keeping a lease alive moves only its `expiry`, not
        # its entry here, so a keep-alive costs no heap operation; `expired` puts an entry that came too early back.
        self._schedule: list[tuple[float, int]] = []
        self._waiting: dict[int, list[Callable[[], None]]] = {}
        self._changed: set[bytes] | None = None

    def __len__(self) -> int:
        return len(self._leases)

    def _now(self) -> float:
        return self._clock.monotonic() - self._lost

    def leave_out(self, seconds: float) -> None:
        """Set how many of the seconds that have passed count against no lease; the number grows from call to call."""
        self._lost = seconds

    # -- following the store ------------------------------------------------------------------------------------

    def load(self, records: Mapping[bytes, bytes]) -> None:
        """Take the lease records of a store that was just opened; their keys follow through `recover`."""
        now = self._now()
        for name, record in records.items():
            ttl = max(decode_ttl(record), MIN_TTL)
            lease = Lease(lease_id(name), ttl, now + ttl)
            self._leases[lease.id] = lease
        self._schedule = [(lease.expiry, lease.id) for lease in self._leases.values()]
        heapify(self._schedule)
        self._changed = set() if self._leases else None

    @property
    def recovering(self) -> bool:
        """Return whether keys are still missing: from `load` of any leases until `recovered`."""
        return self._changed is not None

    def recover(self, versions: Iterable[KeyVersion]) -> None:
        """Attach live versions as they were read; commits may be published between calls and are newer."""
        changed = self._changed or ()
        for version in versions:
            if version.lease and version.key not in changed:
                self._attach(version.key, version.lease)

    def recovered(self) -> None:
        """End the recovery: all versions were given to `recover`."""
        self._changed = None

    def publish(self, commit: Commit) -> None:
        """Apply the leases and attachments of a commit that has become durable."""
        if commit.meta:
            self._follow_records(commit)
        self._follow_changes(commit.changes)

    def publish_steps(self, commit: Commit) -> Steps[None]:
        """Follow, in steps, a commit that has become durable."""
        self._follow_records(commit)
        for changes in in_pieces(commit.changes):
            self._follow_changes(changes)
            yield len(changes) // 2

    def _follow_records(self, commit: Commit) -> None:
        for name, record in commit.meta.items():
            if name.startswith(LEASES):
                self._follow_record(lease_id(name), record)

    def _follow_changes(self, changes: list[KeyVersion]) -> None:
        for change in changes:
            if change.lease or change.key in self._lease_of:
                self._attach(change.key, change.lease)
        if self._changed is not None:
            self._changed.update(change.key for change in changes)

    def _follow_record(self, lease: int, record: bytes | None) -> None:
        if record is None:
            self._leases.pop(lease, None)
            for waiting in self._waiting.pop(lease, ()):
                waiting()
            return
        ttl = decode_ttl(record)
        expiry = self._now() + ttl
        self._leases[lease] = Lease(lease, ttl, expiry)
        heappush(self._schedule, (expiry, lease))

    def _attach(self, key: bytes, lease: int) -> None:
        """Attach a key to a lease, or to none when that is 0."""
        former = self._lease_of.pop(key, 0)
        if former:
            keys = self._keys[former]
            keys.discard(key)
            if not keys:
                del self._keys[former]
        if lease:
            self._lease_of[key] = lease
            self._keys.setdefault(lease, set()).add(key)

    # -- questions ----------------------------------------------------------------------------------------------

    def get(self, lease: int) -> Lease | None:
        """Return a lease by its id; None when it does not exist."""
        return self._leases.get(lease)

    def leases(self) -> list[Lease]:
        """Return all leases, those that expire first before the others."""
        return sorted(self._leases.values(), key=lambda lease: lease.expiry)

    def attachments(self, lease: int) -> int:
        """Return the number of keys attached to a lease."""
        return len(self._keys.get(lease, ()))

    def attached(self, lease: int) -> set[bytes]:
        """Return the keys attached to a lease."""
        return set(self._keys.get(lease, ()))

    def remaining(self, lease: Lease) -> int:
        """Return the whole seconds that a lease has left."""
        return int(lease.expiry - self._now())

    # -- time ---------------------------------------------------------------------------------------------------

    def keep_alive(self, lease: int, answer: Callable[[int], None]) -> None:
        """Give a lease its full TTL again, and call `answer` with it, or with 0 when there is no such lease.

        A lease that has expired cannot be saved: the answer is 0, once it is revoked.
        """
        found = self._leases.get(lease)
        if found is None:
            answer(0)
            return
        now = self._now()
        if found.expiry <= now:
            self._waiting.setdefault(lease, []).append(lambda: answer(0))
            return
        found.expiry = now + found.ttl
        answer(found.ttl)

    def keep_all_alive(self) -> None:
        """Give every lease its full TTL: this process has not watched their expiry until now."""
        now = self._now()
        for lease in self._leases.values():
            lease.expiry = now + lease.ttl

    def expired(self, limit: int) -> list[int]:
        """Return up to `limit` leases to revoke now.

        One that still exists after REVOKE_RETRY_SECONDS is returned again.
        """
        now = self._now()
        found: list[int] = []
        while self._schedule and self._schedule[0][0] <= now and len(found) < limit:
            _, identity = heappop(self._schedule)
            lease = self._leases.get(identity)
            if lease is None:
                continue
            if lease.expiry > now:
                heappush(self._schedule, (lease.expiry, identity))
            else:
                found.append(identity)
        for identity in found:
            heappush(self._schedule, (now + REVOKE_RETRY_SECONDS, identity))
        return found


def grant(batch: Batch, lease: int, ttl: int) -> int:
    """Stage a new lease, and return the TTL that was granted, in seconds.

    Raises:
        ApiError: The id is taken, or the TTL too large.
    """
    if ttl > MAX_TTL:
        raise ApiError(LEASE_TTL_TOO_LARGE)
    name = lease_record(lease)
    if batch.record(name) is not None:
        raise ApiError(LEASE_EXISTS)
    granted = max(ttl, MIN_TTL)
    batch.set_record(name, encode_ttl(granted))
    return granted


def revoke(batch: Batch, lease: int, durable: Iterable[bytes]) -> Steps[None]:
    """Stage, in steps, the removal of a lease and of its keys, in one revision.

    Args:
        batch: The group commit.
        lease: The id.
        durable: At least the keys that are attached in the durable state.

    Raises:
        ApiError: There is no such lease.
    """
    name = lease_record(lease)
    if batch.record(name) is None:
        raise ApiError(LEASE_NOT_FOUND)
    candidates = batch.staged.attached(lease).union(durable)
    yield from batch.delete_keys(candidates, keep=lambda version: version.lease != lease)
    batch.set_record(name, None)
