"""A real etcd, or any server of its API, as a store.

`store.py` has the calls; `target.py` the endpoints and settings; `channel.py` dials an endpoint; `outcome.py`
interprets a failed call. The rest are details of connections: `proxy.py` (HTTP proxies), `authorities.py`
(certificates), `tunnel.py` (TLS without verification), `diagnosis.py` (why there is no connection), `arrivals.py`
(bytes received), `discovery.py` (endpoints from DNS).
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # our errors say what its log would; gRPC reads this on import
