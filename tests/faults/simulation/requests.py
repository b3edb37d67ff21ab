"""Random requests over few keys and leases, so that they meet."""

from random import Random

from brainctl.etcdpb import rpc_pb2 as pb
from tests.faults.simulation.model import Model

KEYS = [b"\0", b"a", b"a\0", b"a/1", b"a/2", b"aa", b"b", b"b/\xff", b"b/\xff\xff", b"\xff", b"\xff\xff"]
KEYS += [b"hot/%d" % number for number in range(4)] + [b"cold/%02d" % number for number in range(24)]
ENDS = [b"", b"", b"", b"\0", b"a0", b"b", b"hot0", b"cold/1"]
LEASES = [1, 2, 3, -4, 5, 0x7FFF_FFFF_FFFF_FFFF]
SIZES = (0, 1, 20, 100, 700, 3000)

Write = (
    pb.PutRequest
    | pb.DeleteRangeRequest
    | pb.TxnRequest
    | pb.CompactionRequest
    | pb.LeaseGrantRequest
    | pb.LeaseRevokeRequest
)


class Requests:
    """Makes the next request from a seed; what is likely to be refused is rare, not absent."""

    def __init__(self, rng: Random, ttls: tuple[int, ...] = (2, 5, 30, 1000)) -> None:
        self.rng = rng
        self._ttls = ttls

    def key(self) -> bytes:
        return self.rng.choice(KEYS[11:15]) if self.rng.random() < 0.4 else self.rng.choice(KEYS)

    def span(self) -> tuple[bytes, bytes]:
        key, end = self.key(), self.rng.choice(ENDS)
        return key, end if end == b"\0" or end > key else b""

    def lease(self, model: Model) -> int:
        if self.rng.random() < 0.7:
            return 0
        return self.rng.choice(list(model.leases) or LEASES) if self.rng.random() < 0.9 else self.rng.choice(LEASES)

    def put(self, model: Model, key: bytes | None = None) -> pb.PutRequest:
        value = self.rng.randbytes(self.rng.choice(SIZES))
        if self.rng.random() < 0.1:
            value = bytes(len(value))
        prev_kv = self.rng.random() < 0.3
        return pb.PutRequest(key=key or self.key(), value=value, lease=self.lease(model), prev_kv=prev_kv)

    def delete(self, key: bytes | None = None) -> pb.DeleteRangeRequest:
        start, end = (key, b"") if key else self.span()
        return pb.DeleteRangeRequest(key=start, range_end=end, prev_kv=self.rng.random() < 0.3)

    def txn(self, model: Model) -> pb.TxnRequest:
        compare = pb.Compare(key=self.key(), target=pb.Compare.VERSION, result=self.rng.choice((0, 1, 2, 3)))
        if self.rng.random() < 0.5:
            compare.version = self.rng.randrange(3)
        else:
            compare.target = pb.Compare.MOD
            compare.mod_revision = max(0, model.revision - self.rng.randrange(20))
        return pb.TxnRequest(compare=[compare], success=self._branch(model), failure=self._branch(model))

    def _branch(self, model: Model) -> list[pb.RequestOp]:
        operations = []
        for key in self.rng.sample(KEYS, self.rng.randrange(4)):
            kind = self.rng.random()
            if kind < 0.5:
                operations.append(pb.RequestOp(request_put=self.put(model, key)))
            elif kind < 0.8:
                operations.append(pb.RequestOp(request_delete_range=self.delete(key)))
            else:
                start, end = self.span()
                operations.append(pb.RequestOp(request_range=pb.RangeRequest(key=start, range_end=end)))
        if not any(operation.HasField("request_range") for operation in operations) and not operations:
            operations.append(pb.RequestOp(request_put=self.put(model)))
        return operations

    def write(self, model: Model) -> Write:
        kind = self.rng.random()
        if kind < 0.55:
            return self.put(model)
        if kind < 0.65:
            return self.delete()
        if kind < 0.85:
            return self.txn(model)
        if kind < 0.91:
            grant = pb.LeaseGrantRequest(ID=self.rng.choice(LEASES), TTL=self.rng.choice(self._ttls))
            free = [lease for lease in LEASES if lease not in model.leases]
            if free and self.rng.random() < 0.8:
                grant.ID = self.rng.choice(free)
            return grant
        if kind < 0.95:
            return pb.LeaseRevokeRequest(ID=self.rng.choice(list(model.leases) or LEASES))
        return pb.CompactionRequest(revision=max(1, model.revision - self.rng.randrange(-1, 30)))
