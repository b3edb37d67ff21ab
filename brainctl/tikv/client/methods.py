"""List the methods of the Placement Driver and of TiKV that the client calls."""

from brainctl.tikv.client.channels import Method
from brainctl.tikvpb import kvrpcpb_pb2 as kv
from brainctl.tikvpb import pdpb_pb2 as pd

TIMESTAMPS = "/pdpb.PD/Tso"
"""A stream of pdpb.TsoRequest and pdpb.TsoResponse."""
MEMBERS = Method[pd.GetMembersRequest, pd.GetMembersResponse]("/pdpb.PD/GetMembers", pd.GetMembersResponse.FromString)
REGION = Method[pd.GetRegionRequest, pd.GetRegionResponse]("/pdpb.PD/GetRegion", pd.GetRegionResponse.FromString)
STORE = Method[pd.GetStoreRequest, pd.GetStoreResponse]("/pdpb.PD/GetStore", pd.GetStoreResponse.FromString)
SAFE_POINT = Method[pd.GetGCSafePointRequest, pd.GetGCSafePointResponse](
    "/pdpb.PD/GetGCSafePoint", pd.GetGCSafePointResponse.FromString
)
MOVE_SAFE_POINT = Method[pd.UpdateGCSafePointRequest, pd.UpdateGCSafePointResponse](
    "/pdpb.PD/UpdateGCSafePoint", pd.UpdateGCSafePointResponse.FromString
)
HOLD_SAFE_POINT = Method[pd.UpdateServiceGCSafePointRequest, pd.UpdateServiceGCSafePointResponse](
    "/pdpb.PD/UpdateServiceGCSafePoint", pd.UpdateServiceGCSafePointResponse.FromString
)

GET = Method[kv.GetRequest, kv.GetResponse]("/tikvpb.Tikv/KvGet", kv.GetResponse.FromString)
BATCH_GET = Method[kv.BatchGetRequest, kv.BatchGetResponse]("/tikvpb.Tikv/KvBatchGet", kv.BatchGetResponse.FromString)
SCAN = Method[kv.ScanRequest, kv.ScanResponse]("/tikvpb.Tikv/KvScan", kv.ScanResponse.FromString)
PREWRITE = Method[kv.PrewriteRequest, kv.PrewriteResponse]("/tikvpb.Tikv/KvPrewrite", kv.PrewriteResponse.FromString)
COMMIT = Method[kv.CommitRequest, kv.CommitResponse]("/tikvpb.Tikv/KvCommit", kv.CommitResponse.FromString)
ROLLBACK = Method[kv.BatchRollbackRequest, kv.BatchRollbackResponse](
    "/tikvpb.Tikv/KvBatchRollback", kv.BatchRollbackResponse.FromString
)
LOCK = Method[kv.PessimisticLockRequest, kv.PessimisticLockResponse](
    "/tikvpb.Tikv/KvPessimisticLock", kv.PessimisticLockResponse.FromString
)
UNLOCK = Method[kv.PessimisticRollbackRequest, kv.PessimisticRollbackResponse](
    "/tikvpb.Tikv/KVPessimisticRollback", kv.PessimisticRollbackResponse.FromString
)
HEARTBEAT = Method[kv.TxnHeartBeatRequest, kv.TxnHeartBeatResponse](
    "/tikvpb.Tikv/KvTxnHeartBeat", kv.TxnHeartBeatResponse.FromString
)
CHECK_STATUS = Method[kv.CheckTxnStatusRequest, kv.CheckTxnStatusResponse](
    "/tikvpb.Tikv/KvCheckTxnStatus", kv.CheckTxnStatusResponse.FromString
)
CHECK_SECONDARIES = Method[kv.CheckSecondaryLocksRequest, kv.CheckSecondaryLocksResponse](
    "/tikvpb.Tikv/KvCheckSecondaryLocks", kv.CheckSecondaryLocksResponse.FromString
)
RESOLVE = Method[kv.ResolveLockRequest, kv.ResolveLockResponse](
    "/tikvpb.Tikv/KvResolveLock", kv.ResolveLockResponse.FromString
)
SCAN_LOCKS = Method[kv.ScanLockRequest, kv.ScanLockResponse]("/tikvpb.Tikv/KvScanLock", kv.ScanLockResponse.FromString)
