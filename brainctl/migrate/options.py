"""The options of a migration."""

from dataclasses import dataclass

from brainctl.migrate.machine.record import History
from brainctl.migrate.machine.state import Goal


@dataclass(frozen=True, slots=True)
class MigrateOptions:
    """Options of a migration: what to copy, how far to go, and how long to wait. Times are in seconds."""

    history: History = History.ALL
    goal: Goal = Goal.SYNCED
    """Goal at which the process ends by itself."""
    overwrite: bool = False
    """Empty the target and start over."""
    even_if_served: bool = False
    """End the process that serves the target, or migrates into it."""
    freeze_hook: str = ""
    """The command that stops the writers of the source, for a cutover; "" when something else stops them."""
    unfreeze_hook: str = ""
    """The command that lets them go on when a cutover ends early; "" when there is none."""
    freeze_timeout: float = 30.0
    """The time for a hook, and for the writers to stop."""
    retry_for: float = 300.0
    """Seconds for which a source or target is retried that cannot be reached."""
    auth: bool = True
    """Copy users, roles and the switch of authentication."""
