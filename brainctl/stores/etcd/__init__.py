"""A real etcd, or anything that speaks its API, as a store."""
