"""Stores by URL: etcd://, file://, tikv://; one interface for commands, migration and verification.

In reading order:

* `store.py`: the interfaces: `Store` (the etcd API, asynchronous) and `ReplicaTarget` (the target of a migration).
* `schemes.py`: the URL schemes and what each can do; `urls.py`: the parts of a URL; `registry.py`: opens a store by it.
* `driver.py`: the functions of a kind of store: `directory.py` (file://), `tikv.py` (tikv://), `etcd/driver.py`.
* `in_process.py`: a node in this process as a store, for file:// and tikv://.
* `etcd/`: the gRPC client of a real etcd. `unary.py` has the unary methods that both kinds of stores share.
* `replica_local.py`, `replica_tikv.py`: targets of migrations; `checkpoint.py` is their record.
* `unfinished.py`: refuses to serve or write a copy that a migration has not finished.
* Helpers over any store: `pages.py` and `parts.py` (large ranges), `watching.py` (the change stream), `leases.py`,
  `auth.py` (users and roles), `bounded_gather.py`, `contexts.py` (TLS).

One call through the layers: `await store.put(PutRequest(key=b"a", value=b"1"))`.

    etcd://10.0.0.1:2379,10.0.0.2:2379             file:///var/lib/store
    unary.call_put                                 unary.call_put
    EtcdStore.call("/etcdserverpb.KV/Put", ...)    NodeStore.call("/etcdserverpb.KV/Put", ...)
      _ready: dial 10.0.0.1, after 0.1 s also        marshal the request
        10.0.0.2, and take the first that answers    Node.call with the token of this process
      _identity: a token for --user                    KvService.put: parse, check
      _send: one gRPC call with the timeout            LocalBackend.submit: evaluate, join the open batch
        (on the server: the right column, or etcd)     writer thread: write, fdatasync
      it was answered: PutResponse                     reply(marshalled response)
      it failed: outcome.failure decides             Answer.wait: PutResponse, or the error is raised

What `outcome.failure` makes of a gRPC status: an answer of etcd becomes ApiError; for a read, a lost connection becomes
ConnectionFailed, and the read is sent to the other endpoint; for a write that was sent it becomes UnknownOutcome, and
the write is not repeated, because it may have happened.
"""
