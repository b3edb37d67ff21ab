"""Entries of the log as facts: constant words for what happened, and named fields for this time.

Constant words can be counted and alerted on; fields can be searched without taking sentences apart. An entry on the
console, and its end with --log-format json:

    2026-01-05T10:00:00.000000Z warn a snapshot is refused error="brainctl: 4 snapshots are being saved"
    ... "msg": "a snapshot is refused", "error": "brainctl: 4 snapshots are being saved"}

docs/logs.md lists every fact, with its fields and what to do about it; tests/test_logs.py holds it against the code.
"""

import json
import re

_PLAIN = re.compile(r"[^\s\"'=]+")


class Fact:
    """An entry of the log, in place of a text: `_log.warning(Fact("a snapshot is refused", sent_bytes=5))`."""

    __slots__ = ("fields", "text")

    def __init__(self, text: str, **fields: object) -> None:
        self.text = text
        self.fields: dict[str, str | int | float] = {
            name.replace("_", "-"): value if isinstance(value, int | float) else str(value)
            for name, value in fields.items()
            if value not in (None, "")
        }
        """Fields by the names that are shown, with hyphens as in etcd's log; one without a value is left out."""

    def __str__(self) -> str:
        shown = (f" {name}={_shown(value)}" for name, value in self.fields.items())
        return self.text + "".join(shown)


def _shown(value: str | float) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
