"""The comparison of the stores at two URLs, from opening to closing."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from brainctl.clock import Clock, SystemClock
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.unfinished import CAUTIOUS, Admission
from brainctl.verify.compare import Comparison, Report
from brainctl.verify.opening import open_side
from brainctl.verify.scope import Scope


class Verifier:
    """Compares every key, value, revision, version and lease, and the users and roles, of two stores."""

    def __init__(
        self,
        expected: str,
        found: str,
        *,
        scope: Scope = Scope(),  # noqa: B008 - immutable
        history: bool = False,
        live: bool = False,
        leases: bool = True,
        auth: bool = True,
        max_lag: int = 0,
        etcd: EtcdTarget | Callable[[], EtcdTarget] = EtcdTarget(()),  # noqa: B008 - immutable
        admission: Admission = CAUTIOUS,
        clock: Clock | None = None,
    ) -> None:
        """Create a comparison; nothing is opened before `run`.

        Args:
            expected: The URL of the store as it should be.
            found: The URL of the store to look at.
            scope: The part to compare: a prefix, what is left out, keys that have other names, values alone.
            history: Compare every revision that both sides have, instead of the newest state alone.
            live: Both may take writes meanwhile: what stays different counts.
            leases: Compare leases.
            auth: Compare users and roles.
            max_lag: How many revisions one side may be behind the other.
            etcd: How to reach a server: certificates, credentials, limits; or what returns that when it is needed.
            admission: What to do with a copy that a migration has not finished; it is read with a warning.
            clock: The clock; the default is that of the system.
        """
        self._urls = (expected, found)
        self._scope = scope
        self._history = history
        self._live = live
        self._leases = leases
        self._auth = auth
        self._max_lag = max_lag
        self._etcd = etcd
        self._admission = admission
        self._clock = clock or SystemClock()

    async def run(self) -> Report:
        """Compare, and return what differs (`Report.equal`, `Report.differences`).

        Raises:
            ApiError: COMPACTED, when no revision can be read on both sides.
            BrainctlError: A store cannot be opened or read.
        """
        async with AsyncExitStack() as stack:
            expected, found = [
                await open_side(url, self._etcd, self._scope, stack, self._admission) for url in self._urls
            ]
            return await Comparison(
                expected,
                found,
                self._clock,
                scope=self._scope,
                history=self._history,
                live=self._live,
                leases=self._leases,
                auth=self._auth,
                max_lag=self._max_lag,
            ).run()
