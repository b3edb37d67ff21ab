"""brainctl: a tool suite for the people who run etcd.

The names in `__all__` are the library: stores by URL, migrations and comparisons (docs/library.md). Each is loaded when
it is first used, so that `import brainctl` takes no time.
"""

from importlib import import_module

TYPE_CHECKING = False  # true for type checkers; the module typing takes ten times as long to load as this one
if TYPE_CHECKING:
    from brainctl.errors import BrainctlError as BrainctlError
    from brainctl.migrate.fixed_source import FixedSource as FixedSource
    from brainctl.migrate.machine.record import History as History
    from brainctl.migrate.machine.state import Goal as Goal
    from brainctl.migrate.migrator import Migrator as Migrator
    from brainctl.migrate.observer import Observer as Observer
    from brainctl.migrate.options import MigrateOptions as MigrateOptions
    from brainctl.migrate.planner import MigrationPlan as MigrationPlan
    from brainctl.migrate.planner import Planner as Planner
    from brainctl.migrate.report import MigrationReport as MigrationReport
    from brainctl.migrate.source import Source as Source
    from brainctl.migrate.target import Target as Target
    from brainctl.migrate.target import TargetState as TargetState
    from brainctl.stores.etcd.target import EtcdTarget as EtcdTarget
    from brainctl.stores.etcd.target import Tls as Tls
    from brainctl.stores.registry import create_store as create_store
    from brainctl.stores.registry import open_store as open_store
    from brainctl.stores.store import Store as Store
    from brainctl.stores.unfinished import Admission as Admission
    from brainctl.verify.scope import Scope as Scope
    from brainctl.verify.verifier import Verifier as Verifier

__version__ = "0.1.0"
__all__ = [
    "Admission",
    "BrainctlError",
    "EtcdTarget",
    "FixedSource",
    "Goal",
    "History",
    "MigrateOptions",
    "MigrationPlan",
    "MigrationReport",
    "Migrator",
    "Observer",
    "Planner",
    "Scope",
    "Source",
    "Store",
    "Target",
    "TargetState",
    "Tls",
    "Verifier",
    "create_store",
    "open_store",
]
_HOMES = {
    "Admission": "brainctl.stores.unfinished",
    "BrainctlError": "brainctl.errors",
    "EtcdTarget": "brainctl.stores.etcd.target",
    "FixedSource": "brainctl.migrate.fixed_source",
    "Goal": "brainctl.migrate.machine.state",
    "History": "brainctl.migrate.machine.record",
    "MigrateOptions": "brainctl.migrate.options",
    "MigrationPlan": "brainctl.migrate.planner",
    "MigrationReport": "brainctl.migrate.report",
    "Migrator": "brainctl.migrate.migrator",
    "Observer": "brainctl.migrate.observer",
    "Planner": "brainctl.migrate.planner",
    "Scope": "brainctl.verify.scope",
    "Source": "brainctl.migrate.source",
    "Store": "brainctl.stores.store",
    "Target": "brainctl.migrate.target",
    "TargetState": "brainctl.migrate.target",
    "Tls": "brainctl.stores.etcd.target",
    "Verifier": "brainctl.verify.verifier",
    "create_store": "brainctl.stores.registry",
    "open_store": "brainctl.stores.registry",
}
"""The module of each name of the library."""


def __getattr__(name: str) -> object:
    """Load a name of the library.

    Raises:
        AttributeError: There is none of that name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'brainctl' has no attribute {name!r}")
    found: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the names of the library, loaded or not."""
    return sorted({*globals(), *__all__})
