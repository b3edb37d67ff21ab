"""One logical etcd node: what each RPC does, over a medium, without a transport."""
