"""Find the obstacles to a migration, from what is known of both sides before anything is written."""

from enum import StrEnum
from typing import NamedTuple

from brainctl.errors import BrainctlError, ExitCode
from brainctl.migrate.machine.record import History, Record
from brainctl.migrate.machine.resume import check_resume

ROOM = 1.3
"""A target in a directory takes about this many times the bytes of the source's keys: records and their index."""
LONG_SECONDS = 60.0
"""From this time of reading on, the copy is likely to meet a compaction of the source."""
LEFT_BEHIND = "alarms, members, tokens of users, and the settings of the server"
"""Parts of a cluster that are no part of a copy."""


class SourceFacts(NamedTuple):
    """Facts of the source. Sizes are in bytes."""

    cluster: int
    revision: int
    base: int
    """The revision whose state is copied."""
    keys: int
    """The live keys at the base revision."""
    version: str = ""
    """"" for a file."""
    size_in_use: int = 0
    """The bytes of its database; 0 when they are not told."""
    leases: int = 0
    users: int | None = 0
    """None when users and roles are left behind."""
    roles: int = 0
    errors: tuple[str, ...] = ()
    """Errors that the server reports of itself: alarms, no leader."""
    is_damaged: bool = False
    """Whether it has raised the alarm CORRUPT."""
    is_learner: bool = False
    sample_keys: int = 0
    """The keys that were read at the newest revision to measure it; below their bytes, and the seconds it took."""
    sample_bytes: int = 0
    sample_seconds: float = 0.0

    @property
    def versions(self) -> int:
        """Return how many versions are copied: the keys at the base revision, and at least one in each one since."""
        return self.keys + self.revision - self.base

    @property
    def bytes(self) -> int:
        """Return an estimate of the bytes of what is copied, by those of the sample."""
        return self.sample_bytes * self.versions // self.sample_keys if self.sample_keys else 0

    @property
    def seconds(self) -> float:
        """Return an estimate of the seconds that reading all of it takes, one page at a time."""
        return self.sample_seconds * self.versions / self.sample_keys if self.sample_keys else 0.0


class TargetFacts(NamedTuple):
    """Facts of the target."""

    exists: bool
    empty: bool = True
    """Whether it was never written."""
    revision: int = 0
    record: Record | None = None
    """The record of the migration into it; None when there is none."""
    holder: str = ""
    """Words for the living process that serves it or migrates into it."""
    free: int | None = None
    """The bytes that are free on its disk; None when that is not known."""


class Level(StrEnum):
    """Weight of a finding."""

    BLOCKING = "blocking"
    """The migration would end with an error."""
    WARNING = "warning"
    NOTE = "note"


class Finding(NamedTuple):
    """One result of the checks."""

    level: Level
    text: str
    code: ExitCode = ExitCode.OK
    """The exit code with which the migration would end."""


class Wanted(NamedTuple):
    """The options of the migration that the checks depend on."""

    history: History
    overwrite: bool = False
    even_if_served: bool = False


def findings(source: SourceFacts, target: TargetFacts, wanted: Wanted) -> list[Finding]:
    """Return what was found, the blocking findings first."""
    found = [*_of_source(source, wanted), *_of_target(source, target, wanted), *_of_copy(source, target)]
    return sorted(found, key=lambda finding: list(Level).index(finding.level))


def _of_source(source: SourceFacts, wanted: Wanted) -> list[Finding]:
    found = []
    if source.is_learner:
        text = "the endpoint of the source is a learner, which serves no linearizable reads: name another member"
        found.append(Finding(Level.BLOCKING, text, ExitCode.INVALID_INPUT))
    if source.is_damaged:
        text = "the source has detected damage of its data (alarm CORRUPT): repair it, or migrate from another member"
        found.append(Finding(Level.BLOCKING, text, ExitCode.DAMAGED))
    found += [Finding(Level.WARNING, f"the source says: {error}") for error in source.errors]
    if source.leases:
        text = f"{source.leases} leases begin with their whole TTL when the target is served"
        found.append(Finding(Level.NOTE, text))
    if source.users is None:
        found.append(
            Finding(Level.WARNING, "users, roles and the switch of authentication are left behind (--no-auth)")
        )
    if wanted.history is History.NONE:
        text = f"the history before revision {source.base} is left behind: watches from earlier revisions are refused"
        found.append(Finding(Level.WARNING, text))
    found.append(Finding(Level.NOTE, f"left behind in any case: {LEFT_BEHIND}"))
    return found


def _of_target(source: SourceFacts, target: TargetFacts, wanted: Wanted) -> list[Finding]:
    found = []
    if target.holder and not wanted.even_if_served:
        text = f"the target is in use by {target.holder}: stop that first, or end it by --even-if-served"
        found.append(Finding(Level.BLOCKING, text, ExitCode.IN_USE))
    if wanted.overwrite and not target.empty:
        found.append(
            Finding(Level.WARNING, f"--overwrite removes what the target holds, up to revision {target.revision}")
        )
    elif target.record is not None:
        try:
            check_resume(target.record, target.revision, source.cluster, wanted.history)
        except BrainctlError as error:
            found.append(Finding(Level.BLOCKING, str(error), error.exit_code))
        else:
            text = f"the migration goes on in its phase {target.record.phase}, at revision {target.record.watermark}"
            found.append(Finding(Level.NOTE, text))
    elif not target.empty:
        text = "the target holds data that no migration has written; --overwrite removes it"
        found.append(Finding(Level.BLOCKING, text, ExitCode.NOT_EMPTY))
    return found


def _of_copy(source: SourceFacts, target: TargetFacts) -> list[Finding]:
    found = []
    needed = int(ROOM * max(source.bytes, source.size_in_use))
    if target.free is not None and target.record is None and target.free < needed:
        text = f"the copy needs about {needed / 1e6:.0f} MB, and the disk of the target has {target.free / 1e6:.0f} MB"
        found.append(Finding(Level.BLOCKING, text, ExitCode.NO_SPACE))
    if source.seconds > LONG_SECONDS:
        text = (
            f"reading the source takes about {source.seconds:.0f} s, in which a compaction beyond revision "
            f"{source.base} moves the beginning of the history that the target gets: make its interval longer"
        )
        found.append(Finding(Level.WARNING, text))
    return found
