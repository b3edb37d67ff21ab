"""Histories that other programs recorded, as lines of ours: etcd's robustness tests, Jepsen."""
