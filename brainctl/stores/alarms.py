"""Ask a store for its alarms."""

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store

ALARM = "/etcdserverpb.Maintenance/Alarm"


async def alarms(store: Store) -> pb.AlarmResponse:
    """Return the alarms that are raised."""
    return await store.call(ALARM, pb.AlarmRequest(action=pb.AlarmRequest.GET), pb.AlarmResponse)
