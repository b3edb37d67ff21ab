"""The conformance suite of HTTP/2, whole, against the edge."""

import asyncio
import re

import uvloop

from tests.peers import require
from tests.unit.server.running import running


def test_h2spec_passes_whole():
    program = require("h2spec")

    async def run() -> tuple[int | None, str]:
        async with running() as edge:
            command = (str(program), "-S", "-o", "5", "-h", "127.0.0.1", "-p", str(edge.port))
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            output, _ = await process.communicate()
            return process.returncode, output.decode()

    code, output = uvloop.run(run())
    result = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", output)
    assert result is not None, output
    total, passed, skipped, failed = map(int, result.groups())
    assert (code, skipped, failed) == (0, 0, 0), output
    assert passed == total >= 145
