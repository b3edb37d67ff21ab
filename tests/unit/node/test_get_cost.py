"""What a get of one key costs the event loop, in calls of Python functions: these do not vary with load."""

import sys
from pathlib import Path
from types import FrameType

import brainctl
from brainctl.errors import BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from tests.unit.node.test_slices import Store, run

PACKAGE = str(Path(brainctl.__file__).parent)
GETS = 50
CALLS = 10


def test_a_get_takes_few_calls(tmp_path: Path) -> None:
    calls = 0
    answers: list[bytes | BrainctlError] = []

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        code = frame.f_code
        calls += event == "call" and code.co_filename.startswith(PACKAGE) and not code.co_name.startswith("<")

    async def test(store: Store) -> None:
        body = pb.RangeRequest(key=b"k").SerializeToString()
        await store.put(b"k", b"value")
        for number in range(2 * GETS):
            if number == GETS:  # the first ones fill the caches
                sys.setprofile(count)
            store.node.call("/etcdserverpb.KV/Range", body, answers.append)
        sys.setprofile(None)

    try:
        run(tmp_path, test)
    finally:
        sys.setprofile(None)
    assert {type(answer) for answer in answers} == {bytes}
    assert 0 < calls / GETS <= CALLS, f"{calls / GETS:.1f} calls for a get"
