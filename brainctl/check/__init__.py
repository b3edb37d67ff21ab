r"""Histories of any server of the etcd API, judged: does it keep etcd's promises?

The checker shares no code with what it judges: the rules of keys, revisions, transactions and leases are written here
a second time, from etcd's documentation of them. It does no I/O.

    file, readers/ ---> line ---> examine ---> checker ---> judge ---> replay, worlds ---> model
                                     |            |           \-> order, blame ---> anomaly
                                     |            \-> watches, leases, others ---> anomaly
                                     \-> shrink ---> draw

* `line`: the lines of a history; `file`: their reader and writer (docs/formats/history.md);
* `examine`: judges a history from end to end with `checker`, which gets line by line and keeps what is still open;
* `judge`: replays operations in the order of their revisions; `model`: what an operation does to the keys, and what it
  must answer; `replay`: the keys, their versions and the log, revision by revision;
* `order`: whether every call fits between its call and its return; `worlds`: the ways in which operations of unknown
  outcome can have happened;
* `watches`: the promises of watches; `leases`: when a lease may end; `others`: hashes of members, holders of locks;
* `search`: histories without revisions, in the manner of Wing, Gong and Lowe; `readers/`: histories that other programs
  recorded;
* `blame`: turns a contradiction into an `anomaly`, which says in words what contradicts what; `shrink`: the smallest
  part of a history that shows it; `draw`: that part as a picture.

Example: client 1 puts a=1 and a=2, each acknowledged. Then client 2 reads a, and gets the first value.

    >>> from brainctl.check.checker import check
    >>> header = {"brainctl_history": 1, "revision": 1, "prefix": "", "exclusive": True}
    >>> def put(called, value, revision):
    ...     return {"op": "put", "client": 1, "endpoint": 0, "called": called, "returned": called + 10,
    ...             "key": "a", "value": value, "rev": revision}
    >>> def read(revision, *kv):
    ...     return {"op": "range", "client": 2, "endpoint": 0, "called": 60, "returned": 70,
    ...             "key": "a", "kvs": [[*kv]], "count": 1, "rev": revision}
    >>> writes = [put(0, "1", 2), put(20, "2", 3)]
    >>> check(header, [*writes, read(3, "a", 2, 3, 2, "2", 0)]).anomalies
    []
    >>> [anomaly.kind for anomaly in check(header, [*writes, read(2, "a", 2, 2, 1, "1", 0)]).anomalies]
    ['stale-read']
"""
