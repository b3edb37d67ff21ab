"""Which segment is reclaimed next, as pictures: segments, oldest first, of 10 KB each that are kept (#, with a lease l)
or dead (x).
"""

import pytest

from brainctl.engine.background.segment_picker import Candidate, pick, pick_any
from brainctl.engine.format.segment_header import DATA

UNIT = 10_000


def segments(picture: str) -> list[Candidate]:
    found = []
    for line in picture.split():
        number, content = line.split(":")
        leased, dead = content.count("l") * UNIT, content.count("x") * UNIT
        kept = content.count("#") * UNIT + leased
        found.append(Candidate(int(number), DATA + kept + dead, kept, dead, "p" in content, leased))
    return found


@pytest.mark.parametrize(
    ("picture", "picked"),
    [
        ("", None),
        ("1:#### 2:####", None),
        ("1:###x 2:###x", None),
        ("1:##xx 2:####", 1),
        ("1:#### 2:#xxx 3:##xx", 2),
        ("1:##xx 2:##xx", 1),
        ("1:###xxx 2:#xxxxx", 2),
        ("1:#xxx 2:xxxx 3:#xxx", 2),
        ("1:xxxx 2:xxxx", 1),
        ("1:lllxxxx 2:##xx", 2),
        ("1:llxxx", None),
        ("1:l###xxxxx", 1),
        ("1:lxxx 2:# 3:# 4:# 5:# 6:# 7:# 8:# 9:#", 1),
    ],
)
def test_the_best_value_is_picked(picture: str, picked: int | None):
    assert pick(segments(picture), 0.5) == picked


def test_never_more_is_written_than_given_back():
    assert pick(segments("1:####xxx 2:#####xxxx"), 0.5) is None


@pytest.mark.parametrize(
    ("picture", "picked"),
    [("1:#### 2:####", None), ("1:####p 2:###xp 3:xxxx", 2), ("1:####p 2:####", None)],
)
def test_a_full_run_takes_the_oldest_that_gets_smaller(picture: str, picked: int | None):
    assert pick_any(segments(picture)) == picked


def test_a_full_run_packs_a_log_segment_that_is_mostly_padding():
    assert pick_any([Candidate(1, DATA + 5 * UNIT, UNIT, 0, packed=False)]) == 1
    assert pick_any([Candidate(1, DATA + 5 * UNIT, UNIT, 0, packed=True)]) is None
