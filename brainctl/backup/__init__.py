"""Copies of stores.

* `hard_links.py`: backups of a local store, by hard links, also incremental ones.
* `etcd_database.py`: reads database files of etcd (snapshots).
* `restore.py`: makes a store of either. `point_in_time.py`: of a store as it was at an earlier revision.

Example: segments 1 and 2 are closed, 3 is the end of the log, runs 1 and 2 are the index (the names are shortened).

    full backup           segments 1, 2 and runs 1, 2: hard links
                          segment 3: copied up to the durable revision
    the store goes on     segment 3 is closed, 4 is the end; run 3 replaces 1 and 2
    backup based on it    segment 3 (it has grown) and run 3: hard links
                          segment 4: copied up to the durable revision
                          segments 1, 2: not in it, they are in the first backup
"""
