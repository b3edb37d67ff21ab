"""Copies of stores.

* `hard_links.py`: backups of a local store, by hard links, also incremental ones.
* `etcd_database.py`: reads database files of etcd (snapshots).
* `restore.py`: makes a store of either. `point_in_time.py`: of a store as it was at an earlier revision.

Example: segments 1 and 2 are closed, 3 is the end of the log, runs 1 and 2 are the index (the names here are
shortened).

    full backup              segments 1, 2: hard links, segment 3: copied up to the durable revision, runs 1, 2: hard
    links the store goes on        segment 3 is closed, 4 is the end; run 3 replaces 1 and 2
    backup based on it       segment 3: hard link, since it has grown, segment 4: copied, run 3: hard link;
                             segments 1 and 2 are in the first backup
"""
