"""Patience with a store: how long it lasts, what is said meanwhile, what ends it."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest

from brainctl.clock import SystemClock
from brainctl.errors import BrainctlError, ConnectionFailed, ExitCode, InvalidInput, StoreInUse, TimedOut
from brainctl.migrate import retry
from brainctl.migrate.retry import Away, Side, Waiting


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "SAY_SECONDS", 0.0)
    monkeypatch.setattr(retry, "SILENT_SECONDS", 0.02)
    monkeypatch.setattr(retry, "HURRIED_SECONDS", 0.05)
    monkeypatch.setattr(retry, "LEAST_SECONDS", 0.05)


def run(
    seconds: float, ask: Callable[[], Awaitable[str]], *also: type[BrainctlError], hurried: bool = False
) -> tuple[str | BrainctlError, list[Waiting]]:
    """Ask with patience; how it ended, and what was said."""

    async def story() -> tuple[str | BrainctlError, list[Waiting]]:
        said: list[Waiting] = []
        side = Side("target", "tikv://pd/p", SystemClock(), seconds, said.append)
        if hurried:
            side.hurry()
        try:
            return await side.call(ask, *also), said
        except BrainctlError as error:
            return error, said

    return asyncio.run(story())


class Asked:
    """Fails so many times, then hangs or answers."""

    def __init__(self, error: BrainctlError, times: int, *, hangs: bool = False) -> None:
        self.error = error
        self.times = times
        self.hangs = hangs

    async def __call__(self) -> str:
        self.times -= 1
        if self.times >= 0:
            raise self.error
        if self.hangs:
            await asyncio.Event().wait()
        return "answer"


def test_an_outage_is_one_whether_requests_fail_or_hang() -> None:
    """What is said goes on from the first failure, with the last error that was heard."""
    end, said = run(1.0, Asked(ConnectionFailed("refused"), 2, hangs=True))
    assert isinstance(end, Away)
    assert end.exit_code is ExitCode.TIMEOUT, "it gave no answer"
    assert re.fullmatch(r"the target tikv://pd/p has been away for \d+ s \(--retry-for\): refused", str(end))
    away = [waiting.away_seconds for waiting in said]
    assert away == sorted(away)
    assert {waiting.error for waiting in said} == {"refused"}
    assert all(0 <= waiting.left_seconds <= 1 for waiting in said)


def test_a_request_has_the_time_to_say_why_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that begins when --retry-for is almost over, or takes longer than all of it."""
    monkeypatch.setattr(retry, "LEAST_SECONDS", 60.0)

    async def slow() -> str:
        await asyncio.sleep(0.1)
        raise ConnectionFailed("refused")

    end, _ = run(0.01, slow)
    assert isinstance(end, Away)
    assert (end.exit_code, str(end).endswith(": refused")) == (ExitCode.CONNECTION, True)


def test_an_answer_ends_it() -> None:
    end, said = run(60.0, Asked(ConnectionFailed("refused"), 3))
    assert end == "answer"
    assert len(said) == 3


@pytest.mark.parametrize("error", [InvalidInput("no"), StoreInUse("in use")])
def test_what_does_not_pass_is_raised_at_once(error: BrainctlError) -> None:
    assert run(60.0, Asked(error, 1)) == (error, [])


def test_what_passes_for_this_request_is_waited_out() -> None:
    end, said = run(60.0, Asked(StoreInUse("in use"), 1), StoreInUse)
    assert (end, len(said)) == ("answer", 1)


@pytest.mark.parametrize(("seconds", "hurried"), [(0.0, False), (60.0, True)])
def test_without_patience_the_error_is_the_first(seconds: float, hurried: bool) -> None:
    error = ConnectionFailed("refused")
    assert run(seconds, Asked(error, 1), hurried=hurried) == (error, [])


def test_a_request_that_hangs_is_given_up_in_a_hurry() -> None:
    end, _ = run(60.0, Asked(ConnectionFailed(""), 0, hangs=True), hurried=True)
    assert isinstance(end, TimedOut)
    assert "gives no answer" in str(end)
