"""The phases of a migration and the only transitions between them.

    new -> copying -> catching-up -> synced -> freezing -> draining -> verifying -> committed

From every phase before `committed` a migration can return to `new`: the source compacted revisions that were still
needed, so the copy starts over from a newer base. A target that falls behind the source returns from `synced` to
`catching-up`. A cutover that is given up returns to `synced`; a cutover whose source took one more write (when a lease
expired, for example) freezes again.
"""

from enum import StrEnum


class Phase(StrEnum):
    """Phase of a migration. The values are part of the checkpoint and of the output."""

    NEW = "new"
    """Nothing of the source is in the target yet, or what is there is about to be removed."""
    COPYING = "copying"
    """The state at the base revision is being copied."""
    CATCHING_UP = "catching-up"
    """The base is complete; the target has the state of the source at the watermark."""
    SYNCED = "synced"
    """The watermark has reached a revision of the source that was read after the copy, and keeps up with it."""
    FREEZING = "freezing"
    """The source is about to take no more writes: the freeze hook runs."""
    DRAINING = "draining"
    """The last revisions of the frozen source are being applied."""
    VERIFYING = "verifying"
    """Both sides are being compared, at the last revision."""
    COMMITTED = "committed"
    """The target is the store of record; it takes no more from the source."""


class Trigger(StrEnum):
    """The reason of a transition."""

    BASE_CHOSEN = "base chosen"
    COPIED = "copied"
    CAUGHT_UP = "caught up"
    FELL_BEHIND = "fell behind"
    CUTOVER = "cutover"
    FROZEN = "frozen"
    DRAINED = "drained"
    EQUAL = "equal"
    MOVED = "moved"
    GIVEN_UP = "given up"
    COMPACTED = "compacted"


TRANSITIONS: dict[Phase, dict[Trigger, Phase]] = {
    Phase.NEW: {Trigger.BASE_CHOSEN: Phase.COPYING, Trigger.COMPACTED: Phase.NEW},
    Phase.COPYING: {Trigger.COPIED: Phase.CATCHING_UP, Trigger.COMPACTED: Phase.NEW},
    Phase.CATCHING_UP: {Trigger.CAUGHT_UP: Phase.SYNCED, Trigger.COMPACTED: Phase.NEW},
    Phase.SYNCED: {
        Trigger.CUTOVER: Phase.FREEZING,
        Trigger.FELL_BEHIND: Phase.CATCHING_UP,
        Trigger.COMPACTED: Phase.NEW,
    },
    Phase.FREEZING: {
        Trigger.FROZEN: Phase.DRAINING,
        Trigger.GIVEN_UP: Phase.SYNCED,
        Trigger.COMPACTED: Phase.NEW,
    },
    Phase.DRAINING: {
        Trigger.DRAINED: Phase.VERIFYING,
        Trigger.GIVEN_UP: Phase.SYNCED,
        Trigger.COMPACTED: Phase.NEW,
    },
    Phase.VERIFYING: {
        Trigger.EQUAL: Phase.COMMITTED,
        Trigger.MOVED: Phase.FREEZING,
        Trigger.GIVEN_UP: Phase.SYNCED,
        Trigger.COMPACTED: Phase.NEW,
    },
    Phase.COMMITTED: {},
}
"""Triggers that end each phase, and the phase that follows."""

STREAMING = frozenset({Phase.CATCHING_UP, Phase.SYNCED, Phase.FREEZING, Phase.DRAINING, Phase.VERIFYING})
"""The phases in which the change stream is applied."""

CUTTING_OVER = frozenset({Phase.FREEZING, Phase.DRAINING, Phase.VERIFYING})
"""The phases in which the source is frozen, or may be."""


def step(phase: Phase, trigger: Trigger) -> Phase:
    """Return the phase after `trigger`.

    Raises:
        KeyError: There is no such transition.
    """
    return TRANSITIONS[phase][trigger]
