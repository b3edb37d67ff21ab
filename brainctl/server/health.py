"""gRPC health checking: a server that answers is serving, as in etcd; it has no state beyond that.

Nobody has to say who they are for it: what asks is often a load balancer.
"""

from google.protobuf.message import DecodeError

from brainctl.errors import Code, Status
from brainctl.etcdpb import health_pb2 as healthpb
from brainctl.server.http2.stream_writer import StreamWriter

WHOLE_SERVER = ""
"""The name under which clients ask about all services at once, and the only one that etcd knows."""
UNKNOWN_SERVICE = Status(Code.NOT_FOUND, "unknown service")
MALFORMED = Status(Code.INTERNAL, "grpc: failed to unmarshal the received message")
SERVING = healthpb.HealthCheckResponse(status=healthpb.HealthCheckResponse.SERVING).SerializeToString()


def check(body: bytes, outlet: StreamWriter) -> None:
    """Serve Health.Check: answer with SERVING for the whole server, with NOT_FOUND for a service by name."""
    try:
        service = healthpb.HealthCheckRequest.FromString(body).service
    except DecodeError:
        outlet.fail(MALFORMED)
        return
    if service == WHOLE_SERVER:
        outlet.send(SERVING)
        outlet.finish()
    else:
        outlet.fail(UNKNOWN_SERVICE)


def list_all(body: bytes, outlet: StreamWriter) -> None:
    """Serve Health.List: answer with the state of the whole server."""
    del body
    serving = healthpb.HealthCheckResponse(status=healthpb.HealthCheckResponse.SERVING)
    outlet.send(healthpb.HealthListResponse(statuses={WHOLE_SERVER: serving}).SerializeToString())
    outlet.finish()


def watch(body: bytes, outlet: StreamWriter) -> None:
    """Serve Health.Watch: answer with the state now, and keep the stream open until the server ends it."""
    try:
        service = healthpb.HealthCheckRequest.FromString(body).service
    except DecodeError:
        outlet.fail(MALFORMED)
        return
    kind = healthpb.HealthCheckResponse
    status = kind.SERVING if service == WHOLE_SERVER else kind.SERVICE_UNKNOWN
    outlet.send(kind(status=status).SerializeToString())
