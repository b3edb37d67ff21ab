"""A few seconds of changed bytes for every format; `make fuzz` runs a million."""

import logging
from collections.abc import Iterator

import pytest

from tests.faults.crash import fuzz

pytestmark = pytest.mark.crash
CASES = 15_000


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_nothing_fails_but_as_declared(kind: str):
    seen = fuzz.run(kind, 1, round(CASES * fuzz.SHARES[kind]))
    assert len(seen) > 1 or kind == "frames", "either all of it was refused or none"


def test_the_control_notices_an_error_and_a_hang(monkeypatch: pytest.MonkeyPatch):
    def crash(_: object) -> None:
        raise KeyError("planned")

    def hang(_: object) -> None:
        while True:
            pass

    monkeypatch.setattr(fuzz, "HANG_SECONDS", 1)
    for broken, said in ((crash, "KeyError"), (hang, "TimeoutError")):
        monkeypatch.setitem(fuzz.KINDS, "page", lambda broken=broken: broken)
        with pytest.raises(AssertionError, match=said):
            fuzz.run("page", 1, 1)
