"""The checks before anything is written: may this migration begin, or resume."""

from random import Random
from typing import NamedTuple

from brainctl.errors import ExitCode, InvalidInput, NotEmpty, StoreDamaged, StoreInUse
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.checkpoint import History, Record
from brainctl.migrate.confirm import confirm, confirm_base
from brainctl.migrate.etcd_source.reader import SourceReader
from brainctl.migrate.machine.phases import STREAMING, Phase
from brainctl.migrate.witness import Position, Witness
from brainctl.stores.store import Checkpoint, ReplicaTarget, Store


class Plan(NamedTuple):
    """How this process begins."""

    record: Record
    run: str
    epoch: int
    resumed: bool
    clean: bool
    """Nothing must be removed from the target first."""


async def prepare(
    source: Store,
    target: ReplicaTarget,
    history: History,
    random: Random,
    *,
    overwrite: bool,
    even_if_served: bool = False,
) -> Plan:
    """Take the target over for this process, durably.

    Args:
        source: The store to read.
        target: The target.
        history: The part of the history to copy.
        random: The source of the random name of this process.
        overwrite: Remove what the target holds.
        even_if_served: Take the target from a living server, which then ends.

    Raises:
        StoreInUse: A living server has the target.
        NotEmpty: The target holds data that no migration wrote, or was cut over.
        InvalidInput: The target belongs to a migration from another source or with other options, or the source has
            gone back.
    """
    header = (await source.range(pb.RangeRequest(key=b"\0", count_only=True))).header
    stored = await target.checkpoint()
    if stored is None or overwrite:
        record = Record(Phase.NEW, header.cluster_id, history, frozen=frozen_by(stored))
        plan = await _fresh(target, stored, record, random, overwrite=overwrite)
    else:
        record = Record.decode(stored.state)
        _check_resume(record, target.revision, header, history)
        await _check_source(source, record)
        plan = Plan(record, _identity(random), stored.epoch + 1, resumed=True, clean=False)
    if not even_if_served and (holder := await target.served_by(or_migrated=overwrite)):
        raise StoreInUse(f"the target is in use by {holder}: stop that first, or end it by --even-if-served")
    await target.take_over(Checkpoint(plan.run, plan.epoch, plan.record.encode()))
    return plan


async def _fresh(
    target: ReplicaTarget, stored: Checkpoint | None, record: Record, random: Random, *, overwrite: bool
) -> Plan:
    """Return the plan of a migration that begins.

    Raises:
        NotEmpty: The target holds data, and `overwrite` is not set.
    """
    clean = stored is None and await target.is_empty()
    if not clean and not overwrite:
        raise NotEmpty("the target holds data that no migration has written; --overwrite removes it")
    epoch = stored.epoch + 1 if stored is not None else 1
    return Plan(record, _identity(random), epoch, resumed=False, clean=clean)


def frozen_by(stored: Checkpoint | None) -> str:
    """Return the freeze hook after which the source may be frozen.

    "" when there is none or the record is unreadable.
    """
    try:
        return Record.decode(stored.state).frozen if stored is not None else ""
    except StoreDamaged:
        return ""


def _identity(random: Random) -> str:
    """Return a random name for this process, by which it recognises its own writes."""
    return f"{random.getrandbits(64):016x}"


def _check_resume(record: Record, revision: int, header: pb.ResponseHeader, history: History) -> None:
    """Check that a migration with this record may go on.

    Raises:
        CutOver: It is complete.
        InvalidInput: It is from another source or with another option, or another process wrote to the target.
    """
    if record.phase is Phase.COMMITTED:
        raise CutOver(
            f"the target was cut over at revision {record.watermark} and takes no more from the source; "
            "--overwrite starts over"
        )
    if record.cluster != header.cluster_id:
        raise InvalidInput(
            f"the target belongs to a migration from cluster {record.cluster:x}, but the source is cluster "
            f"{header.cluster_id:x}; --overwrite starts over"
        )
    if record.history != history:
        raise InvalidInput(
            f"the target belongs to a migration with --history {record.history}; --overwrite starts over"
        )
    if record.phase in STREAMING and revision != record.watermark:
        raise InvalidInput(
            f"the target is at revision {revision}, but the migration left it at {record.watermark}: something "
            "else wrote to it; --overwrite starts over"
        )


async def _check_source(source: Store, record: Record) -> None:
    """Check that the source is still what the target was copied from.

    Raises:
        WentBack: It is not.
    """
    if record.phase is Phase.NEW:
        return
    await confirm(source, Witness.decode(record.watermark, record.witness))
    if not record.witness:
        await confirm_base(source, record.base, record.expected)
    await SourceReader(source, record.cluster, Position(record.raft_term, record.raft_index)).look()


class CutOver(NotEmpty):
    """The migration into this target is complete."""

    exit_code = ExitCode.NOT_EMPTY
