"""Writes as a node evaluates them, for tests that submit to a backend or a batch themselves."""

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.requests import check_txn


def txn(batch: Batch, request: pb.TxnRequest) -> bytes:
    """KV.Txn: checked first, as the KV service does."""
    check_txn(request)
    return batch.txn(request)
