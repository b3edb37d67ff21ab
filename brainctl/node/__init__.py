"""One logical etcd node: what each RPC does, over a backend, without a transport.

A node takes the path of an RPC and the marshalled request, and answers with the marshalled response or an error. The
sockets are in `brainctl/server`; the rules of etcd's API are in `brainctl/mvcc`.

In reading order:

* `backend.py`: the interface of what keeps the data (the local engine or TiKV).
* `node.py`: `Node`, the table from RPC paths to handlers; `handler.py` is the type of an entry.
* `services/`: one module or folder per gRPC service (`kv/`, `watch.py`, `lease.py`, `auth.py`, ...).
* `local/`: the backend over the local engine, with group commit.
* `slices.py` and `lane.py`: how long reads and long writes leave the event loop free for other requests.
* `access/`: authentication (passwords, tokens) and authorization (who may call what).
* `quota.py`: the space quota. `options.py`: the settings of a node. `metrics.py`: its figures.
* `jobs/`: work beside the requests, such as automatic compaction and scrubbing.
* `in_process_client.py`: calls of a node's own methods, for the Lock and Election services.

One put on its way through a node over the local engine:

    Node.call("/etcdserverpb.KV/Put", body, reply)   look up the handler; check permissions when authentication is on
      quota guard, then KvService.put                refuse what has no room or is too long, parse
      AlarmedBackend.submit                          while an alarm is raised, check it where the put is evaluated
        LocalBackend.submit(Batch.put, request)      evaluate, stage revision 12, join the open batch
          writer thread                              one write and one fdatasync for the whole batch
        publish                                      readers see revision 12, the watch hub gets the event
      reply(marshalled PutResponse)                  only now: the write is durable
"""
