"""Automatic compaction of what a retention does not keep; only the process that writes does it."""

import logging
from functools import partial

from brainctl.clock import Clock
from brainctl.errors import COMPACTED, ApiError, BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.log import Fact
from brainctl.mvcc.batch import Batch
from brainctl.node.backend import Backend
from brainctl.node.jobs.retention import Retention

_log = logging.getLogger(__name__)


class Compactor:
    """Compacts from time to time for as long as its backend is open."""

    def __init__(self, backend: Backend, clock: Clock, retention: Retention) -> None:
        """Create the compactor of a backend and schedule its first look, one interval from now."""
        self._backend = backend
        self._clock = clock
        self._retention = retention
        retention.start(clock.monotonic(), backend.revision)
        backend.call_later(retention.interval, self._step)

    def _step(self) -> None:
        """Compact if the retention wants it and this process writes; look again after the interval."""
        backend, retention = self._backend, self._retention
        if backend.term:
            revision = retention.due(self._clock.monotonic(), backend.revision)
            if revision:
                request = pb.CompactionRequest(revision=revision)
                backend.submit(Batch.compact, request, partial(self._settle, revision))
        retention.record_interval(backend.revision)
        backend.call_later(retention.interval, self._step)

    def _settle(self, revision: int, answer: bytes | BrainctlError) -> None:
        """Tell the retention that a compaction succeeded; after a failure it will ask for it again."""
        if isinstance(answer, ApiError) and answer.status == COMPACTED:
            _log.debug(Fact("automatic compaction: compacted already", revision=revision))
        elif isinstance(answer, BrainctlError):
            _log.warning(Fact("automatic compaction is tried again", revision=revision, error=answer))
            return
        self._retention.done(self._clock.monotonic(), revision)
