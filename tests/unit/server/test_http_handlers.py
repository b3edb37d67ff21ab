"""HttpHandlers as such, without a connection: what is only for the machine of the server."""

from typing import Any

import pytest

from brainctl.server.http_handlers import HttpHandlers
from brainctl.server.http_request import HttpRequest, HttpResponse, is_local
from tests.unit.server.echo import EchoNode


class Held:
    """An exchange that keeps what it is answered with."""

    def __init__(self) -> None:
        self.responses: list[HttpResponse] = []
        self.respond = self.responses.append

    def begin(self, response: HttpResponse) -> None:
        raise AssertionError(response)

    def send(self, data: bytes) -> None:
        raise AssertionError(data)

    def end(self) -> None:
        raise AssertionError


@pytest.mark.parametrize(("local", "status"), [(True, 404), (False, 403)])
def test_debug_paths_are_for_this_machine_only(local: bool, status: int):
    held = Held()
    HttpHandlers(EchoNode()).serve(
        HttpRequest("GET", "/debug/stages?revision=1", {}, b"", secure=False, local=local), held
    )
    assert [response.status for response in held.responses] == [status]


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        (("127.0.0.1", 1), True),
        (("127.8.8.8", 1), True),
        (("::1", 1, 0, 0), True),
        (("::ffff:127.0.0.1", 1, 0, 0), True),
        (("10.0.0.1", 1), False),
        (("::ffff:10.0.0.1", 1, 0, 0), False),
        (("fe80::1%eth0", 1, 0, 2), False),
        (None, False),
        ("", True),
        (b"", True),
        ((), False),
    ],
)
def test_what_is_this_machine(peer: Any, local: bool):
    assert is_local(peer) is local
