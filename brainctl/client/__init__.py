r"""Recipes over any store: what a client of etcd does with several requests. A command runs each in one line.

    lock, elect ---> lock_recipe ---> resumable_watch ---> Store.watch
            \--> lease_session                                ^
    make-mirror --> mirror ------------> resumable_watch -----/
    check perf ---> load                 check history ---> recorder/ ---> load
    demo ---------> steady_writer

* `resumable_watch`: a watch that is opened again, from the next revision, after a lost connection;
* `lease_session`: a lease that is kept alive while a block runs, and revoked at its end;
* `lock_recipe`: locks and elections, with the keys of etcd's own clients, so that all of them wait for each other;
* `mirror`: a continuous copy of keys into another store;
* `load`: writes at a rate, measured; `steady_writer`: the writer of the demo; `recorder`: recording a history;
* `failure`: errors whose text or exit code the command chooses.

Example: clients A and B want the lock "jobs"; their leases are 0xa and 0xb.

    revision 7   A: queue_up puts jobs/a (lease 0xa), reads the oldest key: its own, so A has the lock
    revision 8   B: queue_up puts jobs/b (lease 0xb), reads the oldest key: jobs/a, so B waits
                 B: await_turn watches jobs/a, the newest key older than its own, from revision 9 on
    revision 9   A ends: lease_session revokes 0xa, which deletes jobs/a
                 B gets the deletion, finds no older key, and has the lock

If A is killed, its lease ends after its TTL, and the same deletion comes then. If B's connection is lost meanwhile,
`resumed` opens the watch again at revision 9, so the deletion is not missed.

    >>> from brainctl.client.lock_recipe import oldest
    >>> request = oldest(b"jobs/")
    >>> request.key, request.range_end, request.limit
    (b'jobs/', b'jobs0', 1)
"""
