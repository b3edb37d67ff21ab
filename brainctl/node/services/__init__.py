"""The RPC services of a node: a module each, or a folder.

`kv/`, `watch.py` and `lease.py` serve keys; `auth.py`, `cluster.py` and `maintenance/` serve the administration;
`lock.py` and `election.py` are made of the others, as in etcd. A service has a method `handlers()` (unary) or
`streams()`, from which `Node` builds its table of paths.
"""
