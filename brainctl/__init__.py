"""brainctl: a tool suite for the people who run etcd."""

__version__ = "0.1.0"
