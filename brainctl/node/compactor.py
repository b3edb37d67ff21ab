"""Compacts by itself what a retention does not keep; only the process that writes does it."""

import logging
from functools import partial

from brainctl.clock import Clock
from brainctl.errors import COMPACTED, ApiError, BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.node.medium import Medium
from brainctl.node.retention import Retention

_log = logging.getLogger(__name__)


class Compactor:
    """Runs for as long as its medium."""

    def __init__(self, medium: Medium, clock: Clock, retention: Retention) -> None:
        self._medium = medium
        self._clock = clock
        self._retention = retention
        retention.start(clock.monotonic(), medium.revision)
        medium.call_later(retention.interval, self._step)

    def _step(self) -> None:
        medium, retention = self._medium, self._retention
        if medium.leads:
            revision = retention.due(self._clock.monotonic(), medium.revision)
            if revision:
                request = pb.CompactionRequest(revision=revision)
                medium.submit(Batch.compact, request, partial(self._settle, revision))
        retention.note(medium.revision)
        medium.call_later(retention.interval, self._step)

    def _settle(self, revision: int, answer: bytes | BrainctlError) -> None:
        if isinstance(answer, ApiError) and answer.status == COMPACTED:
            _log.debug("revision %d was compacted already", revision)
        elif isinstance(answer, BrainctlError):
            _log.warning("automatic compaction at revision %d is tried again: %s", revision, answer)
            return
        self._retention.done(self._clock.monotonic(), revision)
