"""The same random requests to `brainctl serve` and to a real etcd: replies, errors and watch streams, field by field.

How many is set by BRAINCTL_DIFFERENTIAL_STEPS; `make differential` sends 200 000 with a seed that it prints.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.differential.operations import Step, steps
from tests.differential.two import Two
from tests.support.planted import with_fault

STEPS = int(os.environ.get("BRAINCTL_DIFFERENTIAL_STEPS", "3000"))
SEED = int(os.environ.get("BRAINCTL_DIFFERENTIAL_SEED", "0"))
AVERAGE = 55
"""How many steps a sequence has on average."""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    two = Two(tmp_path_factory.mktemp("two"))
    yield two
    two.close()


def compared(check: Callable[[list[Step]], None], wanted: int) -> Callable[[], None]:
    """Checks random sequences, with about so many steps in all."""

    @seed(SEED)
    @settings(
        max_examples=wanted // AVERAGE,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(sequence=steps)
    def run(sequence: list[Step]) -> None:
        check(sequence)

    return run


def test_every_answer_is_etcds(two: Two, capsys: pytest.CaptureFixture[str]) -> None:
    compared(two.run, STEPS)()
    if "BRAINCTL_DIFFERENTIAL_STEPS" in os.environ:
        with capsys.disabled():
            sys.stdout.write(f"{two.steps} requests to each, seed {SEED}, no difference\n")
            sys.stdout.writelines(f"etcd ended on {request}\n" for request in two.crashes)
    assert two.steps > STEPS // 2


class Found(BaseException):
    """Ends the search at once."""


@pytest.mark.parametrize("fault", ["compare", "previous"])
def test_control_a_difference_is_found(fault: str, tmp_path: Path) -> None:
    two = Two(tmp_path, with_fault(fault))

    def search(sequence: list[Step]) -> None:
        try:
            two.run(sequence)
        except AssertionError as difference:
            raise Found from difference

    try:
        with pytest.raises(Found):
            compared(search, 10_000)()
    finally:
        two.close()
