"""A guard for work beside the requests at whose end somebody waits for a reply."""

import logging
from collections.abc import Coroutine
from typing import Any

from brainctl.errors import ApiError, BrainctlError, Code, Status
from brainctl.log import Fact
from brainctl.node.backend import Reply

_log = logging.getLogger(__name__)

INTERNAL = Status(Code.INTERNAL, "internal error; the server's log has more")
"""The answer to a request that failed by a defect of this program."""


async def answering(work: Coroutine[Any, Any, None], reply: Reply) -> None:
    """Do work that calls `reply` at its end; when the work fails instead, reply with the error so that nobody waits."""
    try:
        await work
    except BrainctlError as error:
        reply(error)
    except Exception:  # noqa: BLE001 - somebody waits for the reply
        _log.exception(Fact("the work for a request failed"))
        reply(ApiError(INTERNAL))
