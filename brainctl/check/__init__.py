"""Histories of any server of the etcd API, judged: does it keep etcd's promises?

The checker shares no code with what it judges: the rules of keys, revisions, transactions and leases are written here
a second time, from etcd's documentation of them. It does no I/O.

`line.py` has the lines of a history, `file.py` their reader and writer (docs/formats/history.md), `examine.py` judges
one from end to end with `checker.py`, which takes line by line. Below it:

    model.py      what an operation does to the keys, and what it must answer
    replay.py     the keys, their versions and the log, revision by revision
    order.py      whether every call fits between its call and its return
    worlds.py     the ways in which operations of unknown outcome can have happened
    watches.py    the promises of watches
    leases.py     when a lease may end
    others.py     hashes of members, holders of locks
    search.py     histories without revisions, in the manner of Wing, Gong and Lowe
    blame.py      from a contradiction to an anomaly, which says in words what contradicts what
    shrink.py     the smallest part of a history that shows it
    draw.py       that part as a picture
    readers/      histories that other programs recorded
"""
