"""The counts of what a store writes are kept over restarts, by hour and day, and never in the way."""

import json
from pathlib import Path

from brainctl.engine.stats import Stats
from brainctl.engine.write_history import (
    COUNTERS,
    DAY,
    DAYS_KEPT,
    HOUR,
    HOURS_KEPT,
    NAME,
    WriteHistory,
    load,
    parse,
    render,
    save,
)

START = 20_000 * DAY


def test_counts_fall_into_their_hour_and_day() -> None:
    wear = WriteHistory(START, START)
    for hours in (0, 0.5, 1, 25):
        wear.add(Stats(log_bytes=10), START + hours * HOUR)
    assert wear.total.log_bytes == 40
    assert [(p.start, p.counts.log_bytes) for p in wear.hours] == [
        (START, 20),
        (START + HOUR, 10),
        (START + 25 * HOUR, 10),
    ]
    assert [(p.start, p.counts.log_bytes) for p in wear.days] == [(START, 30), (START + DAY, 10)]
    assert (wear.since, wear.until) == (START, START + 25 * HOUR)


def test_what_is_kept_is_bounded() -> None:
    wear = WriteHistory(START, START)
    for number in range(2 * DAYS_KEPT):
        wear.add(Stats(log_bytes=1), START + number * DAY)
    assert (len(wear.hours), len(wear.days)) == (HOURS_KEPT, DAYS_KEPT)
    assert wear.total.log_bytes == 2 * DAYS_KEPT
    assert len(render(wear)) < 64 << 10


def test_a_clock_that_goes_back_breaks_nothing() -> None:
    wear = WriteHistory(START, START)
    wear.add(Stats(log_bytes=1), START)
    wear.add(Stats(log_bytes=2), START - 3 * DAY)
    assert [p.counts.log_bytes for p in wear.days] == [2, 1]
    assert wear.since == START - 3 * DAY


def test_the_file(tmp_path: Path) -> None:
    wear = WriteHistory(START, START)
    wear.add(Stats(*range(1, len(COUNTERS) + 1)), START + 5)
    assert load(tmp_path) is None
    save(tmp_path, render(wear))
    assert load(tmp_path) == wear
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    data = (tmp_path / NAME).read_bytes()
    for at in range(len(data)):
        assert parse(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) is None
    save(tmp_path / "nowhere", data)


def test_counters_of_another_build() -> None:
    """A counter that the file does not have is 0; one that only the file has is dropped."""
    wear = WriteHistory(START, START, Stats(log_bytes=7))
    row = json.loads(render(wear).split(b"\n")[0])
    row["counters"] = ["other" if name == "zero_bytes" else name for name in row["counters"]]
    line = json.dumps(row).encode() + b"\n"
    from crc32c import crc32c

    found = parse(line + b"%08x\n" % crc32c(line))
    assert found is not None
    assert found.total.log_bytes == 7
    row["format"] = 2
    line = json.dumps(row).encode() + b"\n"
    assert parse(line + b"%08x\n" % crc32c(line)) is None


def test_the_example_of_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "formats" / "wear.md").read_text()
    data = text.partition("<!-- example: WEAR -->\n```\n")[2].partition("```")[0].encode()
    wear = parse(data)
    assert wear is not None
    assert (wear.total.log_bytes, wear.total.payload_bytes) == (30, 20)
    assert [period.counts.log_bytes for period in wear.hours] == [10, 20]
