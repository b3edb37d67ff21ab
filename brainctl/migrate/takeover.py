"""The checks before anything is written, and the take-over of the target by this process."""

from random import Random

from brainctl.errors import NotEmpty, StoreDamaged, StoreInUse, Unsupported
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.record import History, Record
from brainctl.migrate.machine.resume import Plan, check_resume
from brainctl.migrate.source import Source
from brainctl.migrate.target import Target, TargetState
from brainctl.stores.store import Checkpoint


async def prepare(
    source: Source,
    target: Target,
    history: History,
    random: Random,
    *,
    overwrite: bool,
    even_if_served: bool = False,
) -> Plan:
    """Take the target over for this process, durably.

    Args:
        source: The source.
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
        Unsupported: The source has a key that the target does not take.
    """
    cluster = await source.cluster()
    held = await target.look()
    stored = held.checkpoint
    if stored is None or overwrite:
        record = Record(Phase.NEW, cluster, history, frozen=frozen_by(stored))
        plan = _fresh(held, record, random, overwrite=overwrite)
    else:
        record = Record.decode(stored.state)
        check_resume(record, held.revision, cluster, history)
        plan = Plan(record, _identity(random), stored.epoch + 1, resumed=True, clean=False)
    await source.begin(record)
    if record.phase is Phase.NEW and held.longest_key is not None:
        await _check_keys(source, held.longest_key)
    if not even_if_served and (holder := await target.served_by(or_migrated=overwrite)):
        raise StoreInUse(f"the target is in use by {holder}: stop that first, or end it by --even-if-served")
    await target.take_over(Checkpoint(plan.run, plan.epoch, plan.record.encode()))
    return plan


async def _check_keys(source: Source, longest: int) -> None:
    """Check, before anything is copied, that the target takes all keys that the source has now.

    Raises:
        Unsupported: One is longer than `longest` bytes.
    """
    key = await source.longer_key(longest)
    if key is not None:
        raise Unsupported(
            f"the target takes keys of up to {longest} bytes, and the key of the source that begins with "
            f"{key[:64].decode(errors='backslashreplace')} has {len(key)}: a directory (file://) takes it, or delete "
            "it at the source and copy with --history none"
        )


def _fresh(held: TargetState, record: Record, random: Random, *, overwrite: bool) -> Plan:
    """Return the plan of a migration that begins anew, with an empty target or one that may be overwritten.

    Raises:
        NotEmpty: The target holds data, and `overwrite` is not set.
    """
    stored = held.checkpoint
    clean = stored is None and held.empty
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
