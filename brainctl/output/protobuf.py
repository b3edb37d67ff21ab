"""-w protobuf: the marshalled response, with nothing around it."""

from google.protobuf.message import Message

from brainctl.errors import Unsupported
from brainctl.output.answers import Answer, Done, LeaseInfo, Style


def render(answer: Answer, style: Style) -> bytes:
    """The bytes of the response message; Unsupported for answers that are made of several."""
    del style
    if isinstance(answer, Done | LeaseInfo):
        return answer.response.SerializeToString()
    if isinstance(answer, Message):
        return answer.SerializeToString()
    raise Unsupported("protobuf not supported as output format")
