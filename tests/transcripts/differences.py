"""Where brainctl does not answer as etcdctl does, and why. A test holds that each of them still is a difference."""

ACCEPTED = {
    "member list --consistency x": "etcdctl names the value of another flag, --consistency of get, in its message",
    "txn # a compare of leases": "etcdctl ends with a stack trace: its client takes no text for a lease",
}

_ALONE = "brainctl serve is a cluster of one, and takes no member or learner in"

SERVED = dict.fromkeys(
    (
        "member add two --learner --peer-urls http://127.0.0.1:2393",
        "member list # with a learner",
        "member promote {added}",
        "member update {added} --peer-urls http://127.0.0.1:2394,http://127.0.0.1:2395",
        "member remove {added}",
        "member add three --learner=true --peer-urls http://127.0.0.1:2396,http://127.0.0.1:2397 -w json",
        "member remove {added} -w json",
        "member add four --learner --peer-urls http://127.0.0.1:2398 --hex -w json",
        "member remove {added} --hex -w json",
        "member add five --learner --peer-urls http://127.0.0.1:2399 -w fields",
    ),
    _ALONE,
)
"""Where etcdctl finds brainctl serve different from etcd."""
