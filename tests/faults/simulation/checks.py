"""What an engine holds against what the model says that it must."""

from collections.abc import Sequence

from brainctl.engine.engine import Engine
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.lessor import LEASES, decode_ttl, lease_id
from tests.faults.simulation.model import Mark, Model, Version, matching


def find_state(engine: Engine, model: Model, acknowledged: int) -> int:
    """After how many requests, `acknowledged` at least, the store was as it is, all that can be read compared.

    AssertionError when it never was.
    """
    leases = tuple(sorted((lease_id(name), decode_ttl(ttl)) for name, ttl in engine.meta(LEASES).items()))
    shown = Mark(engine.view.revision, engine.view.compacted, leases)
    oldest = model.marks[acknowledged].revision
    assert shown.revision >= oldest, f"revision {shown.revision} was found, {oldest} was acknowledged"
    count = matching(model.marks, acknowledged, shown)
    assert count is not None, f"the store never was {shown}"
    for revision in (shown.revision, shown.compacted or shown.revision):
        compare(list(engine.view.versions(b"", None, revision)), model.range(b"\0", b"\0", revision))
    first = shown.compacted + 1
    read = [change for one in engine.view.history(first, shown.revision) for change in one.changes]
    compare(read, model.history(first, shown.revision))
    return count


def compare(found: Sequence[KeyVersion], wanted: Sequence[Version]) -> None:
    assert [version.kv for version in found] == [version.kv().SerializeToString() for version in wanted]
