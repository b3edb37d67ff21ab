"""Pages as such, without a connection: what is only for the machine of the server."""

from typing import Any

import pytest

from brainctl.server.http_request import HttpRequest, Page, is_local
from brainctl.server.pages import Pages
from tests.unit.server.echo import EchoNode


class Held:
    """An exchange that keeps what it is answered with."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self.respond = self.pages.append

    def begin(self, page: Page) -> None:
        raise AssertionError(page)

    def send(self, data: bytes) -> None:
        raise AssertionError(data)

    def end(self) -> None:
        raise AssertionError


@pytest.mark.parametrize(("local", "status"), [(True, 404), (False, 403)])
def test_debug_pages_are_for_this_machine_only(local: bool, status: int):
    held = Held()
    Pages(EchoNode()).serve(HttpRequest("GET", "/debug/stages?revision=1", {}, b"", secure=False, local=local), held)
    assert [page.status for page in held.pages] == [status]


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
