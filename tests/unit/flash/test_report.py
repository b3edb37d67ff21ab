"""What a store does to its disk: counted over restarts, offline and online alike, and what that means."""

import json
from pathlib import Path

import pytest

from brainctl.cli.byte_sizes import read_bytes
from brainctl.cli.settings import BadValue
from brainctl.engine.stats import Stats
from brainctl.engine.write_history import DAY, Period
from brainctl.errors import ExitCode
from brainctl.flash.endurance import endurance, mean_rate, rated_by_dwpd, recent_rate
from tests.peers.servers import Brainctl, brainctl, etcdctl

TB = 10**12
NOW = 20_000 * DAY + DAY / 2


def test_a_rating_lasts_by_what_is_written() -> None:
    rate = mean_rate(100 * 10**9, NOW - 10 * DAY, NOW)
    assert rate == (10 * 10**9, 10.0)
    left = endurance(rate, 300 * TB)
    assert left is not None
    assert left.years == pytest.approx(300e12 / 10e9 / 365)
    assert left.share == pytest.approx(10e9 / (300e12 / 5 / 365))
    assert endurance(rate, 0) is None
    assert mean_rate(1, NOW - 60, NOW).days == 0
    assert endurance(mean_rate(1, NOW - 60, NOW), 300 * TB) is None


def test_drive_writes_per_day_are_a_rating_too() -> None:
    assert rated_by_dwpd(1.0, TB) == 5 * 365 * TB
    assert rated_by_dwpd(0.3, 2 * TB, 3) == int(0.3 * 2 * TB * 3 * 365)


def test_the_last_week_counts_for_the_rate() -> None:
    start = int(NOW) // DAY * DAY
    days = [Period(start - back * DAY, Stats(log_bytes=10**6 if back <= 7 else 10**9)) for back in range(20, -1, -1)]
    rate = recent_rate(days, NOW - 30 * DAY, NOW)
    assert rate.days == pytest.approx(7.5)
    assert rate.bytes_per_day == pytest.approx(8 * 10**6 / 7.5)
    assert recent_rate(days[-2:], NOW - 1.5 * DAY, NOW).days == pytest.approx(1.5)


def test_numbers_of_bytes() -> None:
    assert [read_bytes(text, "--size") for text in ("512", "4K", "4KiB", "4kB", "1.5M", "300TB", "2 T")] == [
        512,
        4096,
        4096,
        4000,
        3 << 19,
        300 * TB,
        2 << 40,
    ]
    with pytest.raises(BadValue):
        read_bytes("4X", "--size")


def report(*argv: str) -> dict[str, dict[str, str]]:
    done = brainctl("flash", "report", *argv, "-w", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def test_online_and_offline_and_over_restarts(tmp_path: Path) -> None:
    with Brainctl(tmp_path) as server:
        data = tmp_path / "data"
        for value in ("x" * 5000, "y" * 4000):
            assert etcdctl(server.endpoint, "put", "key", value).returncode == 0
        online = report("--endpoints", server.endpoint)
        assert online["directory"] == str(data)
        assert int(online["total"]["payload_bytes"]) > 9000
        assert int(online["space"]["live"]) > 4000
        assert int(online["space"]["history"]) > 5000
        assert report(str(data))["total"]["payload_bytes"] == online["total"]["payload_bytes"]
        assert server.stop() in (0, 143)
        offline = report(str(data))
        assert offline["total"]["payload_bytes"] == online["total"]["payload_bytes"]
        assert [offline["space"][name] for name in ("live", "history", "dead")] == [
            online["space"][name] for name in ("live", "history", "dead")
        ]
        server.start()
        etcdctl(server.endpoint, "put", "key", "z" * 1000)
        etcdctl(server.endpoint, "compaction", "4")
        etcdctl(server.endpoint, "defrag")
        after = report("--endpoints", server.endpoint)
        assert int(after["total"]["payload_bytes"]) > int(online["total"]["payload_bytes"]) + 1000
        assert int(after["total"]["reclaimed_segments"]) > 0
        assert int(after["space"]["history"]) == int(after["space"]["dead"]) == 0
        text = brainctl("flash", "report", "--endpoints", server.endpoint, "--plot", str(tmp_path / "plot.svg"))
        assert text.returncode == 0, text.stderr
        for word in ("write amplification", "space", "reclaim by hour", "given back", "█"):
            assert word in text.stdout
        assert "key-values" in (tmp_path / "plot.svg").read_text()


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("a", "b"), ExitCode.BAD_ARGS),
        (("nowhere",), ExitCode.INVALID_INPUT),
        ((".", "--rated-tbw", "3TB", "--rated-dwpd", "1"), ExitCode.BAD_ARGS),
        ((".", "--rated-dwpd", "1"), ExitCode.BAD_ARGS),
        ((".", "--warranty-years", "none"), ExitCode.BAD_ARGS),
        (("--endpoints", "127.0.0.1:1"), ExitCode.CONNECTION),
    ],
)
def test_mistakes(argv: tuple[str, ...], code: int) -> None:
    assert brainctl("flash", "report", *argv).returncode == code
