"""The source of a migration, read through the etcd API: pages, spans of keys, the change stream."""
