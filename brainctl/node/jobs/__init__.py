"""Jobs beside the requests.

* `compactor.py`: automatic compaction; `retention.py` decides at which revision.
* `scrubber.py`: reads the store now and then and raises the alarm CORRUPT when it finds damage.
* `watch_backfill.py`: reads history for unsynced watchers, a bounded piece at a time.
* `write_history.py`: counts what a store writes to its disk, over restarts.

A watch that falls behind, over the local engine. The store is at revision 9000 and compacted at 100; a client asks for
a watch from revision 5001:

    the hub puts the watcher among the unsynced ones; it wants to read 5001 to 9000
    piece 1    read 5001 to 6000 (READ_CHANGES changes, or READ_BYTES bytes), in slices, then send them
    a put      revision 9001: synced watchers get it at once, this one does not
    piece 2    read 6001 to 7000, send them
    ...
    piece 5    read 9001, send it: the watcher is synced
    a put      revision 9002: the watcher gets it at once

A compaction at 8000 between pieces 1 and 2 cancels the watcher instead, with compact_revision 8000.
"""
