"""What the put of a single client costs the event loop, in calls of Python functions: these do not vary with load."""

import asyncio
import sys
from pathlib import Path
from types import FrameType

import brainctl
from brainctl.etcdpb import rpc_pb2 as pb
from tests.unit.node.test_slices import Store, run

PACKAGE = str(Path(brainctl.__file__).parent)
PUTS = 50
CALLS = 76
"""86 before small commits were laid out and followed without the steps of large ones, 71 since."""


class Answers:
    """Takes the answer to a burst of one put."""

    def __init__(self) -> None:
        self.answer = asyncio.get_running_loop().create_future()

    def all(self, answers: list[bytes]) -> None:
        self.answer.set_result(answers)

    def one(self, place: int, answer: object) -> None:
        raise AssertionError(f"put {place} was answered with {answer}")


def test_a_put_alone_takes_few_calls(tmp_path: Path) -> None:
    calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        code = frame.f_code
        calls += event == "call" and code.co_filename.startswith(PACKAGE) and not code.co_name.startswith("<")

    async def test(store: Store) -> None:
        for number in range(2 * PUTS):
            if number == PUTS:  # the first ones begin the log
                sys.setprofile(count)
            answers = Answers()
            body = pb.PutRequest(key=b"k%d" % (number % 7), value=b"value").SerializeToString()
            store.node.puts([body], answers)
            await answers.answer
        sys.setprofile(None)

    try:
        run(tmp_path, test)
    finally:
        sys.setprofile(None)
    assert 0 < calls / PUTS <= CALLS, f"{calls / PUTS:.1f} calls for a put"
