"""The bytes of watch responses, built by joining stored versions (etcd api/etcdserverpb/rpc.proto, WatchResponse).

A response is its header (field 1), the watch id (2), flags, and events (11). Events are built once per change and
shared by all watchers that want the same form of it; bodies are built once per audience.
"""

from collections.abc import Iterator
from typing import NamedTuple

from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.steps import Steps, finish, in_pieces
from brainctl.wire.varint import varint

# Fields of a WatchResponse that are always true: created (3), canceled (4), fragment (7).
_CREATED = b"\x18\x01"
_CANCELED = b"\x20\x01"
_FRAGMENT = b"\x38\x01"


class Event(NamedTuple):
    """One change, as the field `events` of a response."""

    revision: int
    field: bytes
    """Tag, length and marshalled mvccpb.Event."""


class EventBatch(NamedTuple):
    """Whole revisions that travel in one response."""

    first: int
    """The revision of the first event."""
    last: int
    """The revision of the last event."""
    events: list[Event]
    body: bytes
    """The fields of the events, joined."""


def event(change: KeyVersion, before: KeyVersion | None = None) -> Event:
    """Return the event of a change; `before` becomes its prev_kv."""
    kind = b"" if change.version else b"\x08\x01"
    parts = b"%b\x12%b%b" % (kind, varint(len(change.kv)), change.kv)
    if before is not None:
        parts += b"\x1a%b%b" % (varint(len(before.kv)), before.kv)
    return Event(change.mod_revision, b"Z%b%b" % (varint(len(parts)), parts))


def event_batches(events: list[Event], size: int) -> list[EventBatch]:
    """Return events of rising revisions in batches of about `size` bytes; a revision is never split."""
    if sum(len(one.field) for one in events) <= size:
        return [EventBatch(events[0].revision, events[-1].revision, events, b"".join([one.field for one in events]))]
    return finish(event_batches_steps(events, size))


def event_batches_steps(events: list[Event], size: int) -> Steps[list[EventBatch]]:
    """Return, in steps, what `event_batches` returns."""
    found: list[EventBatch] = []
    part: list[Event] = []
    blobs: list[bytes] = []
    taken = 0
    for piece in in_pieces(events):
        start = 0
        for index, one in enumerate(piece):
            before = piece[index - 1] if index else part[-1] if part else None
            if taken >= size and before is not None and one.revision != before.revision:
                part += piece[start:index]
                blobs.append(b"".join([event.field for event in piece[start:index]]))
                found.append(EventBatch(part[0].revision, part[-1].revision, part, b"".join(blobs)))
                part, blobs, start, taken = [], [], index, 0
            taken += len(one.field)
        part += piece[start:]
        blobs.append(b"".join([event.field for event in piece[start:]]))
        yield len(piece) // 2
    found.append(EventBatch(part[0].revision, part[-1].revision, part, b"".join(blobs)))
    return found


def watch_id_field(watch_id: int) -> bytes:
    """Return the field `watch_id`; empty for 0, as protobuf does with defaults."""
    return b"\x10" + varint(watch_id) if watch_id else b""


def created(header: bytes, watch_id: int) -> bytes:
    """Return the answer to a create request, which comes before any event."""
    return header + watch_id_field(watch_id) + _CREATED


def refused(header: bytes, reason: str) -> bytes:
    """Return the answer to a create request that makes no watcher; its watch id is -1."""
    return b"".join((header, watch_id_field(-1), _CREATED, _CANCELED, _reason(reason)))


def canceled(header: bytes, watch_id: int, compact_revision: int = 0, reason: str = "") -> bytes:
    """Return the last response of a watcher.

    Its client asked for the end (no reason), or what it wants to read is compacted (`compact_revision`) or unreadable
    (`reason`).
    """
    compacted = b"\x28" + varint(compact_revision) if compact_revision > 0 else b""
    return b"".join((header, watch_id_field(watch_id), _CANCELED, compacted, _reason(reason)))


def _reason(text: str) -> bytes:
    data = text.encode()
    return b"2%b%b" % (varint(len(data)), data) if data else b""


def progress(header: bytes, watch_id: int) -> bytes:
    """Return a progress notification: all events up to the header's revision were sent.

    An id of -1 speaks for all watchers of the stream.
    """
    return header + watch_id_field(watch_id)


def fragments(head: bytes, batch: EventBatch, size: int) -> Iterator[bytes]:
    """Yield the responses that carry one batch to a watcher that accepts parts of revisions.

    Each stays below `size` bytes unless a single event does not fit; all but the last say that more follow.

    Args:
        head: The header and the watch id.
        batch: The events.
        size: Bytes of a response.
    """
    overhead = len(head) + len(_FRAGMENT)
    part: list[bytes] = []
    taken = overhead
    for one in batch.events:
        if part and taken + len(one.field) >= size:
            yield b"".join([head, _FRAGMENT, *part])
            part, taken = [], overhead
        part.append(one.field)
        taken += len(one.field)
    yield b"".join([head, *part])
