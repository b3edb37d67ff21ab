"""What a dry run finds, by the facts of both sides."""

import pytest

from brainctl.errors import ExitCode
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.prechecks import Finding, Level, SourceFacts, TargetFacts, Wanted, findings
from brainctl.migrate.machine.record import History, Record

SOURCE = SourceFacts(cluster=7, revision=1_000, base=100, keys=500, sample_keys=10, sample_bytes=1_000)
NEW, ALL = TargetFacts(exists=False), Wanted(History.ALL)
RECORD = Record(Phase.SYNCED, 7, History.ALL, base=100, watermark=900)


def blocking(found: list[Finding]) -> list[ExitCode]:
    return [finding.code for finding in found if finding.level is Level.BLOCKING]


def test_nothing_stands_in_the_way() -> None:
    found = findings(SOURCE, NEW, ALL)
    assert [finding.level for finding in found] == [Level.NOTE]
    assert "left behind in any case" in found[0].text


@pytest.mark.parametrize(
    ("source", "target", "wanted", "code"),
    [
        ({"is_learner": True}, {}, {}, ExitCode.INVALID_INPUT),
        ({"errors": ("memberID:1 alarm:CORRUPT ",), "is_damaged": True}, {}, {}, ExitCode.DAMAGED),
        ({}, {"empty": False, "revision": 9}, {}, ExitCode.NOT_EMPTY),
        ({}, {"empty": False, "holder": "process 1"}, {"overwrite": True}, ExitCode.IN_USE),
        ({}, {"empty": False, "revision": 900, "record": RECORD._replace(cluster=8)}, {}, ExitCode.INVALID_INPUT),
        ({}, {"empty": False, "revision": 901, "record": RECORD}, {}, ExitCode.INVALID_INPUT),
        ({}, {"empty": False, "record": RECORD._replace(phase=Phase.COMMITTED)}, {}, ExitCode.NOT_EMPTY),
        ({}, {"free": 181_000}, {}, ExitCode.NO_SPACE),
        ({"size_in_use": 1 << 30}, {"free": 1 << 30}, {}, ExitCode.NO_SPACE),
    ],
)
def test_what_blocks(
    source: dict[str, object], target: dict[str, object], wanted: dict[str, object], code: ExitCode
) -> None:
    found = findings(SOURCE._replace(**source), NEW._replace(**target), ALL._replace(**wanted))
    assert blocking(found) == [code]
    assert found[0].level is Level.BLOCKING


@pytest.mark.parametrize(
    ("source", "target", "wanted"),
    [
        ({}, {"empty": False, "revision": 900, "record": RECORD}, {}),
        ({}, {"empty": False, "revision": 9}, {"overwrite": True}),
        ({}, {"empty": False, "holder": "process 1"}, {"overwrite": True, "even_if_served": True}),
        ({}, {"free": 183_000}, {}),
        ({}, {"free": 0, "empty": False, "revision": 900, "record": RECORD}, {}),
        ({"errors": ("memberID:1 alarm:NOSPACE ",)}, {}, {}),
        ({"users": None}, {}, {}),
        ({}, {}, {"history": History.NONE}),
        ({"sample_seconds": 10.0}, {}, {}),
    ],
)
def test_what_does_not_block(source: dict[str, object], target: dict[str, object], wanted: dict[str, object]) -> None:
    found = findings(SOURCE._replace(**source), NEW._replace(**target), ALL._replace(**wanted))
    assert blocking(found) == []


def test_a_long_copy_may_meet_a_compaction() -> None:
    """1400 versions are copied: the keys at the base, and one in each revision since."""
    slow = SOURCE._replace(sample_seconds=0.5)
    assert (slow.versions, slow.bytes, slow.seconds) == (1_400, 140_000, 70.0)
    (text,) = [finding.text for finding in findings(slow, NEW, ALL) if finding.level is Level.WARNING]
    assert "takes about 70 s" in text
    assert "beyond revision 100" in text
