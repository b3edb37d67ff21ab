"""-w protobuf: the marshalled response, with nothing around it."""

from google.protobuf.message import Message

from brainctl.errors import Unsupported
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.answers import Answer, Done, LeaseInfo, Style


def render(answer: Answer, style: Style) -> bytes:
    """Return the bytes of the response message; of those about leases the header alone, as etcdctl does.

    Raises:
        Unsupported: The answer consists of several responses.
    """
    del style
    if isinstance(answer, LeaseInfo):
        return answer.response.header.SerializeToString()
    if isinstance(answer, pb.LeaseGrantResponse | pb.LeaseKeepAliveResponse | pb.LeaseLeasesResponse):
        return answer.header.SerializeToString()
    if isinstance(answer, Done):
        return answer.response.SerializeToString()
    if isinstance(answer, Message):
        return answer.SerializeToString()
    raise Unsupported("protobuf not supported as output format")
