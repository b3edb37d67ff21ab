"""A commit: the changes that one group commit makes durable, atomically; the rules hand it to a backend."""

from dataclasses import dataclass, field

from brainctl.mvcc.keyversion import KeyVersion


@dataclass(slots=True)
class Commit:
    """Changes in order, and small named records beside them; all of it becomes durable, or nothing.

    `meta` is the store's table of small records that are not keys: leases, alarms, the compaction mark,
    migration checkpoints. A value of None removes the record. Names are paths such as b"lease/694d81417acd4753".
    """

    revision: int
    """The store's revision after this commit."""
    changes: list[KeyVersion] = field(default_factory=list)
    """In revision and sub-revision order; all changes with the same mod_revision are one revision."""
    before: list[KeyVersion | None] = field(default_factory=list)
    """Live version that each change replaced (None: none), for prev_kv and for counting garbage."""
    meta: dict[bytes, bytes | None] = field(default_factory=dict)
    compact: int = 0
    """When not 0: revisions up to this one are compacted from this commit on."""
    imported: bool = False
    """True for a copy made by a migration.

    The changes are then live versions whose mod_revision is at most `revision`, in key order, which have no place in
    the history.
    """
    missed: int = 0
    """When not 0: changes of this revision and later ones are missing, because a compaction removed them."""
