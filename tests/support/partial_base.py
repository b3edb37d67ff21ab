"""A base that moves on while it is copied: the same steps for every kind of target."""

from collections.abc import Callable

from brainctl.etcdpb import kv_pb2
from brainctl.stores.store import Checkpoint, ReplicaTarget
from tests.support.memory import MemoryBackend

MARK = Checkpoint("run", 1, b"")


def base(model: MemoryBackend, revision: int) -> list[bytes]:
    return [version.kv for version in model.view.versions(b"", None, revision)]


def events(model: MemoryBackend, first: int, last: int) -> list[bytes]:
    found = []
    for one in model.view.history(first, last):
        for change in one.changes:
            kind = kv_pb2.Event.PUT if change.version else kv_pb2.Event.DELETE
            event = kv_pb2.Event(type=kind, kv=kv_pb2.KeyValue.FromString(change.kv))
            found.append(event.SerializeToString())
    return found


async def copy(model: MemoryBackend, target: ReplicaTarget, step: int, more: Callable[[], None] = lambda: None) -> int:
    """Copy a third of the keys at each of three bases, and then the rest of the history; return the last base.

    Every step is repeated, as after a crash. `more` is called between the steps.
    """
    bases = [model.revision * part // 5 for part in (1, 2, 3)]
    keys = sorted({change.key for change in model.view.log})
    cuts = [b"", keys[len(keys) // 3], keys[2 * len(keys) // 3], b"\xff" * 20]
    at = bases[0]
    for revision, start, end in zip(bases, cuts, cuts[1:], strict=False):
        while at < revision:
            to = min(at + step, revision)
            for _ in range(2):
                await target.advance_base(events(model, at + 1, to), to, MARK)
                assert target.revision == to
            more()
            at = to
        part = [kv for kv in base(model, revision) if start <= kv_pb2.KeyValue.FromString(kv).key < end]
        for _ in range(2):
            await target.import_base(part, revision, MARK)
        more()
    await target.apply(events(model, at + 1, model.revision), model.revision, MARK)
    return at
