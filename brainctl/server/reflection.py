"""gRPC server reflection: which services there are and what their messages look like, for tools such as grpcurl.

Version v1alpha has the same messages as v1, so one implementation serves both.
"""

from typing import Final

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError

from brainctl.errors import Code
from brainctl.etcdpb import (
    health_pb2,
    reflection_v1_pb2,
    reflection_v1alpha_pb2,
    rpc_pb2,
    v3election_pb2,
    v3lock_pb2,
    verification_pb2,
)
from brainctl.etcdpb import reflection_v1_pb2 as pb
from brainctl.server.health import MALFORMED
from brainctl.server.http2.stream_writer import QuietStream, StreamWriter
from brainctl.server.node_protocol import Node

SERVICES: Final = sorted(
    service.full_name
    for module in (
        rpc_pb2,
        v3lock_pb2,
        v3election_pb2,
        health_pb2,
        reflection_v1_pb2,
        reflection_v1alpha_pb2,
        verification_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
)
"""All services of the server, by full name."""


class Reflection:
    """Serves ServerReflection.ServerReflectionInfo: as many questions as the client has."""

    def __init__(self, node: Node, outlet: StreamWriter, token: str | None, common_name: str | None) -> None:
        self._stream = QuietStream(_answer_question, node, outlet, token, common_name)
        self._outlet = outlet
        self.message = self._stream.message
        self.pause = self._stream.pause
        self.resume = self._stream.resume
        self.close = self._stream.close

    def half_close(self) -> None:
        """End the stream: the client has no more questions."""
        self._outlet.finish()


def _answer_question(body: bytes, outlet: StreamWriter) -> None:
    try:
        request = pb.ServerReflectionRequest.FromString(body)
    except DecodeError:
        outlet.fail(MALFORMED)
    else:
        outlet.send(answer(request).SerializeToString())


def answer(request: pb.ServerReflectionRequest) -> pb.ServerReflectionResponse:
    """Return the response to a request."""
    response = pb.ServerReflectionResponse(valid_host=request.host, original_request=request)
    pool = descriptor_pool.Default()
    kind = request.WhichOneof("message_request")
    try:
        match kind:
            case "list_services":
                response.list_services_response.service.extend(pb.ServiceResponse(name=name) for name in SERVICES)
            case "file_by_filename":
                _describe(pool.FindFileByName(request.file_by_filename), response)
            case "file_containing_symbol":
                _describe(pool.FindFileContainingSymbol(request.file_containing_symbol), response)
            case _:  # proto3 has no extensions
                _refuse(response, Code.NOT_FOUND if kind else Code.INVALID_ARGUMENT, "there are no extensions")
    except KeyError as error:
        _refuse(response, Code.NOT_FOUND, f"not found: {error.args[0]}")
    return response


def _describe(file: FileDescriptor, response: pb.ServerReflectionResponse) -> None:
    """Add a file and all files that it imports to a response, each once."""
    found: dict[str, bytes] = {}
    waiting = [file]
    while waiting:
        one = waiting.pop()
        if one.name not in found:
            found[one.name] = one.serialized_pb
            waiting += one.dependencies
    response.file_descriptor_response.file_descriptor_proto.extend(found.values())


def _refuse(response: pb.ServerReflectionResponse, code: Code, text: str) -> None:
    response.error_response.error_code = code
    response.error_response.error_message = text
