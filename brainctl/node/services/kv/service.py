"""The KV service: requests are parsed and checked here, and answered by the backend."""

from google.protobuf.message import DecodeError

from brainctl.errors import REQUEST_TOO_LARGE, ApiError, BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.point_get import point_key
from brainctl.mvcc.put_burst import put_burst
from brainctl.mvcc.ranges import check_range
from brainctl.mvcc.requests import check_txn
from brainctl.mvcc.steps import Steps
from brainctl.node.backend import ReadsPoints, Reply
from brainctl.node.handler import MALFORMED, Handler, KvBackend, refusal
from brainctl.node.options import NodeOptions

PUT = "/etcdserverpb.KV/Put"
"""Path of the call; `Node.puts` serves several of these together."""


class KvService:
    """KV.Range, Put, DeleteRange, Txn and Compact over a backend."""

    def __init__(
        self, backend: KvBackend, options: NodeOptions | None = None, points: ReadsPoints | None = None
    ) -> None:
        """Create the service; `points` is the shorter way to one key, None when the backend has none."""
        options = options or NodeOptions()
        self._backend = backend
        self._submit = backend.submit
        self._points = points
        self._max_bytes = options.max_request_bytes
        self._max_ops = options.max_txn_ops

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by path."""
        return {
            "/etcdserverpb.KV/Range": self.range,
            PUT: self.put,
            "/etcdserverpb.KV/DeleteRange": self.delete_range,
            "/etcdserverpb.KV/Txn": self.txn,
            "/etcdserverpb.KV/Compact": self.compact,
        }

    def range(self, body: bytes, reply: Reply) -> None:
        """Serve KV.Range: a request with nothing but one key takes the shorter way, unparsed."""
        if self._points is not None:
            key = point_key(body)
            if key is not None:
                self._points.get(key, reply)
                return
        try:
            request = pb.RangeRequest.FromString(body)
            check_range(request)
        except (DecodeError, ApiError) as error:
            reply(refusal(error))
            return
        self._backend.range(request, reply)

    def put(self, body: bytes, reply: Reply) -> None:
        """Serve KV.Put: answer once durable."""
        try:
            self._check_size(body)
            request = pb.PutRequest.FromString(body)
        except (DecodeError, ApiError) as error:
            reply(refusal(error))
            return
        self._submit(Batch.put, request, reply)

    def takes_burst(self, longest: int) -> bool:
        """Return whether puts of at most `longest` bytes may be evaluated with `evaluate_puts`."""
        return longest <= self._max_bytes

    def delete_range(self, body: bytes, reply: Reply) -> None:
        """Serve KV.DeleteRange: answer once durable."""
        try:
            self._check_size(body)
            request = pb.DeleteRangeRequest.FromString(body)
        except (DecodeError, ApiError) as error:
            reply(refusal(error))
            return
        self._submit(_delete_range, request, reply)

    def txn(self, body: bytes, reply: Reply) -> None:
        """Serve KV.Txn: one that only reads does not queue behind writes."""
        try:
            self._check_size(body)
            request = pb.TxnRequest.FromString(body)
            check_txn(request, self._max_ops)
        except (DecodeError, ApiError) as error:
            reply(refusal(error))
            return
        if is_readonly(request):
            self._backend.read(request, reply)
        else:
            self._submit(_txn, request, reply)

    def compact(self, body: bytes, reply: Reply) -> None:
        """Serve KV.Compact: answer once the compacted revision is durable; space is given back in the background."""
        try:
            request = pb.CompactionRequest.FromString(body)
        except DecodeError as error:
            reply(refusal(error))
            return
        self._submit(Batch.compact, request, reply)

    def _check_size(self, body: bytes) -> None:
        if len(body) > self._max_bytes:
            raise ApiError(REQUEST_TOO_LARGE)


def evaluate_puts(batch: Batch, bodies: list[bytes]) -> tuple[list[bytes | BrainctlError], int]:
    """Evaluate several marshalled PutRequests in order; this is an `EvaluateBurst`."""
    return put_burst(batch, bodies, _put)


def _put(batch: Batch, body: bytes) -> bytes:
    """Evaluate one marshalled PutRequest that the fast path of `put_burst` does not take."""
    try:
        request = pb.PutRequest.FromString(body)
    except DecodeError as error:
        raise ApiError(MALFORMED) from error
    return batch.put(request)


def _delete_range(batch: Batch, request: pb.DeleteRangeRequest) -> bytes | Steps[bytes]:
    return batch.long_or_whole(request, batch.delete_range_steps(request))


def _txn(batch: Batch, request: pb.TxnRequest) -> bytes | Steps[bytes]:
    return batch.long_or_whole(request, batch.txn_steps(request))


def is_readonly(request: pb.TxnRequest) -> bool:
    """Return whether a transaction has nothing but ranges in either branch."""
    return all(
        operation.WhichOneof("request") == "request_range"
        for operations in (request.success, request.failure)
        for operation in operations
    )
