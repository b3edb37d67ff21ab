"""gRPC health checking: a server that answers is serving, as in etcd; it has no state beyond that.

Nobody has to say who they are for it: what asks is often a load balancer.
"""

from google.protobuf.message import DecodeError

from brainctl.errors import Code, Status
from brainctl.etcdpb import health_pb2 as healthpb
from brainctl.server.http2.stream_writer import QuietStream

WHOLE_SERVER = ""
"""The name under which clients ask about all services at once, and the only one that etcd knows."""
UNKNOWN_SERVICE = Status(Code.NOT_FOUND, "unknown service")
MALFORMED = Status(Code.INTERNAL, "grpc: failed to unmarshal the received message")
SERVING = healthpb.HealthCheckResponse(status=healthpb.HealthCheckResponse.SERVING).SerializeToString()


class HealthCheck(QuietStream):
    """Serves Health.Check."""

    def message(self, body: bytes) -> None:
        """Answer with SERVING for the whole server, and with NOT_FOUND for a service by name."""
        try:
            service = healthpb.HealthCheckRequest.FromString(body).service
        except DecodeError:
            self._outlet.fail(MALFORMED)
            return
        if service == WHOLE_SERVER:
            self._outlet.send(SERVING)
            self._outlet.finish()
        else:
            self._outlet.fail(UNKNOWN_SERVICE)


class HealthList(QuietStream):
    """Serves Health.List."""

    def message(self, body: bytes) -> None:
        """Answer with the state of the whole server."""
        del body
        serving = healthpb.HealthCheckResponse(status=healthpb.HealthCheckResponse.SERVING)
        self._outlet.send(healthpb.HealthListResponse(statuses={WHOLE_SERVER: serving}).SerializeToString())
        self._outlet.finish()


class HealthWatch(QuietStream):
    """Serves Health.Watch: the state now, and no other until the server ends the stream."""

    def message(self, body: bytes) -> None:
        """Answer with the state, and keep the stream open."""
        try:
            service = healthpb.HealthCheckRequest.FromString(body).service
        except DecodeError:
            self._outlet.fail(MALFORMED)
            return
        kind = healthpb.HealthCheckResponse
        status = kind.SERVING if service == WHOLE_SERVER else kind.SERVICE_UNKNOWN
        self._outlet.send(kind(status=status).SerializeToString())
