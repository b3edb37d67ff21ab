"""The rules of etcd's multi-version store, pure: revisions, transactions, ranges, watches, leases."""
