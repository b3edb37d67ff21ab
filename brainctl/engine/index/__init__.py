"""The key index: where the newest version of each key lies, in a memtable over sorted immutable runs.

It is an LSM tree as in LevelDB, but its values are addresses in the log, packed into integers
(`format/index_entry.py`). All of it can be rebuilt from the log. It also notes which versions a compaction makes dead.

Modules in reading order:

* `key_index`: the index as the engine uses it: lookups, ranges and counts over all levels;
* `memtable`, `sorted_keys`: the level in memory; LevelDB's memtable;
* `run_reader`, `run_writer`: one run, a sorted table in a file (docs/formats/run.md);
* `run_merge`: which runs are merged, and how; LevelDB's compaction, here called merging because compaction is etcd's;
* `dead_versions`: versions that were superseded, and die when a compaction passes them;
* `log_coverage`: how far the log is covered by runs.

An example: put, put, delete, compact
-------------------------------------
Segment 1 holds the records; an address is written as its offset there. Entries are shown as (address, gain); the gain
is the live delta of an entry: by how much this level changes the number of live keys. `KeyIndex` counts by adding
gains, without merging.

    write                           memtable (delta)                          runs, newest first
    put a=1 at revision 2           a (1048, +1)                              -
    put b=1 at revision 3           a (1048, +1)  b (1248, +1)                -
    the memtable becomes run 1      -                                         1: a (1048, +1)  b (1248, +1)
    put a=2 at revision 4           a (1448, 0)                               1: a (1048, +1)  b (1248, +1)
    delete b at revision 5          a (1448, 0)   b (1648, -1, tombstone)     1: a (1048, +1)  b (1248, +1)

The memtable adds up to -1 and run 1 to +2, so one key is live. A lookup of `a` ends in the memtable; one of `b` finds
the tombstone there. `DeadVersions` has noted: 1048 superseded at revision 4, 1248 superseded at 5, tombstone 1648 at 5.

    the memtable becomes run 2      -                                         2: a (1448, 0)   b (1648, -1, tombstone)
                                                                              1: a (1048, +1)  b (1248, +1)
    put c=1, compact 6              c (1848, +1)                              as before

The compaction changes nothing in the index. It makes 1048 and 1248 dead, and the tombstone 1648 as well, whose own
revision is below 6; reclaim removes their records (`engine/log`). Runs are merged once four of about one size follow
each other (`run_merge.FANOUT`); merging run 2 with run 1 adds the gains of each key:

    both merged, before compact 6   a (1448, +1)  b (1648, 0, tombstone)      the tombstone stays for older revisions
    both merged, after compact 6    a (1448, +1)                              only a merge with the oldest run drops it
"""
