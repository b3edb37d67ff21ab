from brainctl.etcdpb import rpc_pb2 as _rpc_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HashRangeRequest(_message.Message):
    __slots__ = ("key", "range_end", "revision", "keys", "cuts")
    KEY_FIELD_NUMBER: _ClassVar[int]
    RANGE_END_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    CUTS_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    range_end: bytes
    revision: int
    keys: int
    cuts: _containers.RepeatedCompositeFieldContainer[RangePart]
    def __init__(self, key: _Optional[bytes] = ..., range_end: _Optional[bytes] = ..., revision: _Optional[int] = ..., keys: _Optional[int] = ..., cuts: _Optional[_Iterable[_Union[RangePart, _Mapping]]] = ...) -> None: ...

class HashRangeResponse(_message.Message):
    __slots__ = ("header", "parts", "more")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    header: _rpc_pb2.ResponseHeader
    parts: _containers.RepeatedCompositeFieldContainer[RangePart]
    more: bool
    def __init__(self, header: _Optional[_Union[_rpc_pb2.ResponseHeader, _Mapping]] = ..., parts: _Optional[_Iterable[_Union[RangePart, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class RangePart(_message.Message):
    __slots__ = ("end", "keys", "bytes", "hash")
    END_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    end: bytes
    keys: int
    bytes: int
    hash: bytes
    def __init__(self, end: _Optional[bytes] = ..., keys: _Optional[int] = ..., bytes: _Optional[int] = ..., hash: _Optional[bytes] = ...) -> None: ...
