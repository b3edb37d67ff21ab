"""The outcome of a migration."""

from dataclasses import dataclass
from typing import Self

from brainctl.migrate.progress import Figures
from brainctl.stores.auth import Auth


@dataclass(frozen=True)
class MigrationReport:
    """The outcome of one process. The names are those of the JSON output."""

    phase: str
    source: str
    target: str
    resumed: bool
    base_revision: int
    """The target serves history from here on."""
    chosen_revision: int
    """The base revision at the beginning; another one when the source compacted it during the copy."""
    revision: int
    """The source's revision that the target has reached."""
    keys: int
    bytes: int
    events: int
    process_keys: int
    """Number of keys and events that this process wrote; earlier ones wrote the rest."""
    process_events: int
    leases: int
    authentication: str
    """on or off in the target, or "left behind"."""
    users: int
    roles: int
    resyncs: int
    retries: int
    seconds: float
    reason: str
    """Reason for which the process ended before its goal; empty when it reached it."""

    @classmethod
    def of(cls, figures: Figures, source: str, target: str, reason: str, *, resumed: bool, auth: Auth | None) -> Self:
        """Make it from the last figures, and the users and roles in the target; None when these were left behind."""
        switch = "on" if auth is not None and auth.state.enabled else "off"
        return cls(
            phase=figures.phase,
            source=source,
            target=target,
            resumed=resumed,
            base_revision=figures.base_revision,
            chosen_revision=figures.chosen_revision,
            revision=figures.watermark,
            keys=figures.keys,
            bytes=figures.bytes,
            events=figures.events,
            process_keys=figures.process_keys,
            process_events=figures.process_events,
            leases=figures.leases,
            authentication="left behind" if auth is None else switch,
            users=len(auth.users) if auth is not None else 0,
            roles=len(auth.roles) if auth is not None else 0,
            resyncs=figures.resyncs,
            retries=figures.retries,
            seconds=figures.elapsed_seconds,
            reason=reason,
        )
