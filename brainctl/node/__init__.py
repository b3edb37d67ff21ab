"""One logical etcd node: what each RPC does, over a backend, without a transport."""
