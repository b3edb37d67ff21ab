"""Stores by URL: etcd://, file://, tikv://; one interface for commands, migration and verification."""
