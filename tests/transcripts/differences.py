"""Where brainctl does not answer as etcdctl does, and why. A test holds that each of them still is a difference."""

ACCEPTED = {
    "member list --consistency x": "etcdctl names the value of another flag, --consistency of get, in its message",
    "txn # a compare of leases": "etcdctl ends with a stack trace: its client takes no text for a lease",
}

SERVED = {
    "get a z --stream --keys-only": "brainctl serve does not have RangeStream",
    "get a z --stream -w json --limit 2": "brainctl serve does not have RangeStream",
}
"""Where etcdctl finds brainctl serve different from etcd."""
