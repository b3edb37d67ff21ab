"""Open a store: read what the manifest names, and replay the end of the log.

A clean close leaves nothing that this needs, so there is no other way to open one.

The modules in reading order:

* `store_directory`: whether a directory is a store, or may become one;
* `open_store`: the lock, the manifest, and what a crash has left beside them;
* `recover`: reads the segments in order; what runs of the index cover is passed over;
* `log_replay`: reads batches and extents into the memtable;
* `recovered`: the state that the engine begins with.

An example: opening after a power cut
-------------------------------------
The manifest lists segments 1 (generation 2, so PACKED), 2, 3 and 4, and run 7, which covers the log up to offset 9216
of segment 3:

    file                what is read                                     result
    00000007.run        the header, and the section `state`              revision 800, compacted 650, batch 512
    00000001-2.seg      the header; its extents with the first read      known records, which are not indexed again
    00000002-0.seg      the header                                       the same
    00000003-0.seg      batches 513 to 530, from offset 9216 on          the memtable: revisions 801 to 830
    00000004-0.seg      batches 531 to 536                               the memtable: revisions 831 to 838
                        the header of batch 537; a sector of its         an unfinished write: it was never acknowledged,
                        records is still zeros, and so is the rest       and is cut
    00000001-1.seg      nothing: the manifest does not name it           removed

Were there a batch of a later group behind batch 537, which is written only once that is durable, it would be damage and
not an unfinished write: StoreDamaged names file and offset, and nothing is changed (`engine/log/torn_write`).
"""
