"""The rules of etcd's multi-version store, pure: no clock, no file, no socket.

Every module here either evaluates a request on a state that it is given, or builds bytes that a client receives. The
backends (`brainctl.engine`, `brainctl.tikv`) supply the state and make the results durable; `brainctl.node` connects
the two.

Modules in reading order:

* the data: `keyversion` (one version of one key), `commit` (what one group commit makes durable), `record_names`;
* the state that rules read: `view` (the interface of a backend), `pending_writes` (writes that are not durable yet);
* writes: `batch` (the writes of one group commit), `requests` (checks that need no state), `txn` (which branch of a
  transaction runs), `put_burst` (puts that arrived together), `read_set` (what a network store loads beforehand);
* reads: `ranges`, `range_response_kvs`, `point_get`, `sorting`, `prefix`, `hashkv`, `header`;
* long work in steps: `steps`, `weight` (is a request long?), `tally` (counters);
* watches: `watch_stream` (the protocol of one stream), `watch_hub` (who receives which events), `watcher`,
  `watch_index`, `watch_event`;
* leases and access: `lessor`, `deafness`, `auth`, `permission`.

A batch
-------
Writers see what is staged, readers see what is durable. The store is at revision 7 and holds `k` = "a" (create
revision 3, version 2). Three writes arrive in one turn of the event loop and are evaluated in this order:

    write                                                  staged change (key @ revision.sub)     answer's revision
    put k=b                                                k @ 8.0  create 3, version 3           8
    txn if value(k) = "b" then put k=c, put n=1            k @ 9.0  create 3, version 4           9, succeeded
                                                           n @ 9.1  create 9, version 1
    txn if value(k) = "b" then delete k else range k       none: the else branch reads k=c        9, not succeeded

The first txn compares with the staged "b", not with the durable "a". A transaction takes one revision for all of its
changes, and none if it changes nothing. The result is one `Commit`: `revision` 9, `changes` [k@8.0, k@9.0, n@9.1],
`before` [k@7, k@8.0, None]. A KV.Range that comes now still answers "a" at revision 7. Once the backend has synced the
commit, it shows revision 9 to readers and calls `PendingWrites.durable`, which removes the layer; the commit goes to
`WatchHub.publish` and `Lessor.publish`; then the three answers are sent.

A watch that falls behind
-------------------------
The hub does not queue events for a slow client. It remembers a revision (`Watcher.next`) and reads the log from there:

    event                                          state    next
    the store is at revision 10                    SYNCED   -
    the client stops reading, the stream pauses    SYNCED   -
    revision 11 is published, matches the watch    PARKED   11     the hub stores this number, not the event
    revisions 12 and 13 are published              PARKED   11     at no cost for this watcher
    the client reads again: `WatchHub.resume`      BEHIND   11
    `next_read` returns Read(11, 13)               BEHIND   11     the backend reads the log, here a piece of it:
    `feed(11, 12, ...)` sends those events         BEHIND   13     at the end of the queue again
    `next_read` returns Read(13, 13), `feed` it    SYNCED   -      14 is the next revision of the store

If 12 is compacted while the watcher waits at 11, `next_read` cancels it with compact_revision 12, as etcd does. SYNCED
and BEHIND are etcd's synced and unsynced watchers.
"""
