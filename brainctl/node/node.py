"""A node: every RPC of the etcd API by its path, over one backend. No transport here: bytes in, bytes out.

Unary RPCs go through `Node.call`, RPCs that answer with a stream (or wait long) through `Node.stream`, and the two
bidirectional streams have methods of their own (`Node.watch`, `Node.keep_alive`).
"""

from collections.abc import AsyncIterator, Callable
from functools import partial

from brainctl.clock import Clock
from brainctl.errors import NOT_LEADER, ApiError, BrainctlError, Code, Status, Unsupported
from brainctl.node.access.authorizer import Authorizer
from brainctl.node.access.passwords import Passwords
from brainctl.node.access.tokens import SimpleTokens, Tokens
from brainctl.node.backend import Backend, Replies, Reply
from brainctl.node.forwarding import KEEP_ALIVE, Cluster, Forwarding, is_for_leader, received
from brainctl.node.handler import Handler
from brainctl.node.in_process_client import InProcessClient
from brainctl.node.jobs.compactor import Compactor
from brainctl.node.jobs.scrubber import Scrubber
from brainctl.node.jobs.write_history import WearLog, space
from brainctl.node.local.write_stages import Stages
from brainctl.node.metrics import EngineFigures, NodeMetrics
from brainctl.node.options import NodeOptions
from brainctl.node.reply_guard import answering
from brainctl.node.services.auth import AuthService
from brainctl.node.services.cluster import ClusterService
from brainctl.node.services.election import ElectionService
from brainctl.node.services.kv.range_stream import range_stream
from brainctl.node.services.kv.service import PUT, KvService, evaluate_puts
from brainctl.node.services.lease import LeaseService
from brainctl.node.services.lock import LockService
from brainctl.node.services.maintenance.alarms import AlarmedBackend
from brainctl.node.services.maintenance.service import MaintenanceService
from brainctl.node.services.verification import VerificationService
from brainctl.node.services.watch import WatchService, WatchSession

RANGE_STREAM = "/etcdserverpb.KV/RangeStream"
"""Path of the call, which answers with a stream and checks permissions for each chunk."""
SNAPSHOT = "/etcdserverpb.Maintenance/Snapshot"
"""Path of the call, which answers with a stream, and is only for root."""


class Node:
    """One member of a cluster. It owns its backend."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        tokens: Tokens | None = None,
        passwords: Passwords | None = None,
        options: NodeOptions | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        """Create a node.

        Args:
            backend: The data; closed with the node.
            clock: For leases and progress.
            tokens: Issues the tokens of users; simple ones by default.
            passwords: Checks them.
            options: Settings.
            cluster: The other instances that serve the same data; None where there are none.
        """
        options = options or NodeOptions()
        membership = cluster.membership if cluster is not None else None
        self._forwarding = Forwarding(cluster) if cluster is not None else None
        self.backend = backend
        self._local = local = backend.local
        self.stages = local.stages if local is not None else Stages(clock)
        """The timing of writes; it stays empty where the data is not in the local engine."""
        self._auth = AuthService(backend, tokens or SimpleTokens(clock), passwords or Passwords())
        self._lease = LeaseService(backend, clock)
        self._watch = WatchService(backend, clock, options.progress_seconds)
        if options.watch_bytes is not None:
            self._watch.hub.room.limit = options.watch_bytes
        self._maintenance = MaintenanceService(backend, clock, options, membership)
        self.cluster = ClusterService(backend, options.name, peer_urls=options.peer_urls, membership=membership)
        """The member list; whoever serves the node enters there the URLs at which clients reach it."""
        alarms = self._maintenance.alarms
        self._alarms = alarms
        self._kv = KvService(AlarmedBackend(backend, alarms), options, backend.points)
        self._bursts = backend.bursts
        handlers: dict[str, Handler] = {
            **self._auth.handlers(),
            **self._kv.handlers(),
            **self._lease.handlers(),
            **self._maintenance.handlers(),
            **self.cluster.handlers(),
            **VerificationService(backend).handlers(),
        }
        self.handlers = alarms.guard(handlers)
        self._guard = Authorizer(backend, self._auth, self._lease, alarms, self.handlers, options)
        self._chunk_bytes = options.max_request_bytes
        if options.retention is not None:
            Compactor(backend, clock, options.retention)
        self.scrubber: Scrubber | None = None
        """None when the data is not in the local engine."""
        self.wear: WearLog | None = None
        """None when the data is not in the local engine."""
        if local is not None:
            self.scrubber = Scrubber(backend, local.engine, clock, options.scrub, alarms.corrupt)
            self.wear = WearLog(backend, local.engine, clock)
            local.on_closing(self.wear.close)
        self._streams = {**LockService().streams(), **ElectionService().streams()}

    @property
    def has_leader(self) -> bool:
        """Return whether the cluster has a leader, as far as this member knows; one that is alone leads itself."""
        return self._forwarding is None or self._forwarding.has_leader

    @property
    def process_token(self) -> str:
        """Return the token with which this process itself may do everything; it is stored nowhere else."""
        return self._auth.process_token

    def call(
        self, method: str, body: bytes, reply: Reply, token: str | None = None, common_name: str | None = None
    ) -> None:
        """Serve a unary RPC; `reply` is called exactly once.

        While authentication is on, the sender is identified by `token`, or without one by `common_name`. The methods
        `stream`, `puts`, `keep_alive`, `watch` and `snapshot` take the same two.

        Args:
            method: The path of the RPC, such as "/etcdserverpb.KV/Range".
            body: The marshalled request.
            reply: Receives the marshalled response or the error.
            token: The sender's token, from the metadata of the call.
            common_name: The common name of the sender's verified client certificate.
        """
        if self._forwarding is None:
            handler = self.handlers.get(method)
            if handler is not None and not self._auth.enabled:
                handler(body, reply)  # what most calls are: `_call_here` comes to it with one Python call more
            else:
                self._call_here(method, body, reply, token, common_name)
            return
        forwarded = False
        if token is not None:
            token, forwarded = received(token)
            common_name = None if forwarded else common_name
        if self._forwarding.leads():
            self._call_here(method, body, reply, token, common_name)
        elif not is_for_leader(method, body):
            self._call_here(
                method, body, self._unless_enabled(method, body, reply, token, common_name), token, common_name
            )
        elif forwarded:
            reply(ApiError(NOT_LEADER))
        else:
            here = partial(self._call_here, method, body, token=token, common_name=common_name)
            self._forward(self._forwarding, method, body, reply, here, token, common_name)

    def _forward(
        self,
        forwarding: Forwarding,
        method: str,
        body: bytes,
        reply: Reply,
        here: Callable[[Reply], None],
        token: str | None,
        common_name: str | None,
    ) -> None:
        """Have the leader serve a request for its sender; `here` serves it if this node becomes the leader."""
        try:
            shown = self._auth.shown_to_peers(token, common_name, forwarding.sign)
        except ApiError as error:
            reply(error)
        else:
            self.backend.spawn(answering(forwarding.forward(method, body, reply, shown, here), reply))

    def _unless_enabled(
        self, method: str, body: bytes, reply: Reply, token: str | None, common_name: str | None
    ) -> Reply:
        """Return a reply for a request that a follower has not checked, because authentication was off as it knew.

        If that has changed until the answer is there, the request is served anew, with the check.
        """
        if self._auth.enabled:
            return reply

        def settle(answer: bytes | BrainctlError) -> None:
            if self._auth.enabled:
                self._call_here(method, body, reply, token, common_name)
            else:
                reply(answer)

        return settle

    def _call_here(self, method: str, body: bytes, reply: Reply, token: str | None, common_name: str | None) -> None:
        """Serve a unary RPC in this process."""
        handler = self.handlers.get(method)
        if handler is None and method in self._streams:
            self.backend.spawn(answering(_first(self.stream(method, body, token, common_name), reply), reply))
        elif handler is None:
            reply(_unknown(method))
        elif self._auth.enabled:
            self._guard.call(method, body, reply, token, common_name)
        else:
            handler(body, reply)

    def puts(
        self, bodies: list[bytes], replies: Replies, token: str | None = None, common_name: str | None = None
    ) -> None:
        """Serve KV.Put for several requests of one sender, in their order, as `call` does.

        They are evaluated as one burst when none of them needs checks of its own: authentication is off, no alarm is
        raised, and the longest request fits below the quota and the limit of a request.
        """
        longest = max(map(len, bodies))
        plain = not self._auth.enabled and self._alarms.takes_burst(longest) and self._kv.takes_burst(longest)
        if plain and self._bursts is not None:
            self._bursts.submit_burst(evaluate_puts, bodies, replies)
        else:
            for place, body in enumerate(bodies):
                self.call(PUT, body, partial(replies.one, place), token, common_name)

    def stream(
        self, method: str, body: bytes, token: str | None = None, common_name: str | None = None
    ) -> AsyncIterator[bytes]:
        """Return the responses of an RPC that waits long or answers with a stream, by its path.

        A unary RPC yields one response. When the client goes away, closing the iterator leaves its queues and watches.

        Raises:
            ApiError: The method is unknown. The iterator raises the errors of the RPC itself.
        """
        if method == SNAPSHOT:
            return self.snapshot(token, common_name)
        if method == RANGE_STREAM:
            admit = partial(self._guard.admit_range, token, common_name)
            return range_stream(self.backend, body, self._chunk_bytes, admit)
        serve = self._streams.get(method)
        if serve is None:
            raise _unknown(method)
        return serve(InProcessClient(self, token, common_name), body)

    def figures(self) -> NodeMetrics:
        """Return the current figures of the node for the page of metrics."""
        backend = self.backend
        counted = None
        if self._local is not None and self.scrubber is not None:
            engine = self._local.engine
            counted = EngineFigures(
                engine.stats,
                engine.log_syncs,
                engine.log_writes,
                engine.options.alignment,
                self._local.tally,
                engine.keys,
                self.scrubber.state,
            )
        watch = self._watch
        return NodeMetrics(
            compacted=backend.compacted,
            watchers_refused=watch.hub.room.refused,
            snapshots_refused=self._maintenance.snapshots.refused,
            watch_streams=watch.streams,
            watchers=watch.watchers,
            slow_watchers=watch.slow_watchers,
            events_sent=watch.hub.events_sent,
            leases=len(self._lease.lessor),
            expired_leases=self._lease.expired,
            auth_revision=self._auth.revision,
            engine=counted,
            tikv=backend.traffic,
        )

    def keep_alive(self, body: bytes, reply: Reply, token: str | None = None, common_name: str | None = None) -> None:
        """Serve one exchange of a Lease.LeaseKeepAlive stream: one request, one reply."""
        forwarding = self._forwarding
        if forwarding is not None:
            forwarded = False
            if token is not None:
                token, forwarded = received(token)
                common_name = None if forwarded else common_name
            if forwarded and not forwarding.leads():
                reply(ApiError(NOT_LEADER))
                return
            if not forwarding.leads():
                here = partial(self._keep_alive_here, body, token=token, common_name=common_name)
                self._forward(forwarding, KEEP_ALIVE, body, reply, here, token, common_name)
                return
        self._keep_alive_here(body, reply, token, common_name)

    def _keep_alive_here(self, body: bytes, reply: Reply, token: str | None, common_name: str | None) -> None:
        if self._auth.enabled:
            self._guard.keep_alive(body, reply, token, common_name)
        else:
            self._lease.keep_alive(body, reply)

    def watch(
        self, send: Callable[[bytes], None], token: str | None = None, common_name: str | None = None
    ) -> WatchSession:
        """Open a Watch.Watch stream; `send` takes marshalled WatchResponses."""
        return self._watch.open(send, partial(self._guard.watch_refusal, token, common_name))

    def snapshot(self, token: str | None = None, common_name: str | None = None) -> AsyncIterator[bytes]:
        """Return the marshalled SnapshotResponses of Maintenance.Snapshot.

        Raises:
            ApiError: The sender is not permitted to take a snapshot.
        """
        self._guard.admit(SNAPSHOT, token, common_name)
        return self._maintenance.snapshot()

    async def close(self) -> None:
        """Finish the writes that were submitted, then release the data."""
        await self.backend.close()

    def tell_wear(self, reply: Callable[[dict[str, object] | BrainctlError], None]) -> None:
        """Answer with what the store has written to its disk and what takes its space.

        Args:
            reply: Receives the directory, the space and the wear. It receives Unsupported when the data is not in the
                local engine, or the error of reading the history.
        """
        log, local = self.wear, self._local
        if log is None or local is None:
            reply(Unsupported("the data is in TiKV: this server writes to no disk that it could report on"))
            return
        engine = local.engine

        async def tell() -> None:
            try:
                told: dict[str, object] = {
                    "directory": engine.directory,
                    "space": (await space(engine))._asdict(),
                    "wear": log.now(),
                }
            except BrainctlError as error:
                reply(error)
            else:
                reply(told)

        self.backend.spawn(tell())


def _unknown(method: str) -> ApiError:
    """Return etcd's error for a method that does not exist."""
    service, _, name = method.removeprefix("/").rpartition("/")
    return ApiError(Status(Code.UNIMPLEMENTED, f"unknown method {name} for service {service}"))


async def _first(responses: AsyncIterator[bytes], reply: Reply) -> None:
    """Reply with the first response of a stream: that of a unary RPC which may wait."""
    reply(await anext(responses))
