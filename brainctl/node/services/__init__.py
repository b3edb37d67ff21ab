"""The RPC services of a node, one module each."""
