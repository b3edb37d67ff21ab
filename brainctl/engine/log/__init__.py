"""The log: every change in the order of revisions, in segment files.

It is the only truth: the index can be rebuilt from it.

Modules in reading order:

* `segment`: a segment file, its records by address, walks over them (docs/formats/segment.md);
* `encoded_batch`: a commit that has its place in the log, and not yet its bytes there;
* `log_writer`: lays commits out as batches, and writes and syncs them;
* `segment_allocator`: files for segments, and space that is cheap to sync;
* `manifest`: the list of the segments and runs that make up the store (docs/formats/manifest.md);
* `torn_write`: the end of the log after a crash: an unfinished write, or damage.

An example: a segment before and after a rewrite
------------------------------------------------
Segment 1 holds five commits of one change each, every batch in a sector of its own. Offsets are in hexadecimal. The
file `00000001-0.seg` has 1 MiB here; its rest is zeros:

    offset  batch         record   what it holds                       after compact 6
    1000    sequence 1    1048     put a=1 at revision 2, 76 bytes     dead: superseded at revision 4
    1200    sequence 2    1248     put b=1 at revision 3, 76 bytes     dead: superseded at revision 5
    1400    sequence 3    1448     put a=2 at revision 4, 76 bytes     live
    1600    sequence 4    1648     delete b at revision 5, 69 bytes    dead: a tombstone below 6
    1800    sequence 5    1848     put c=1 at revision 6, 76 bytes     live

A batch header has 72 bytes (48 hexadecimal), so the record of the first batch begins at 1048: its address is segment 1,
offset 1048. Reclaim (`engine/background`) rewrites the segment to `00000001-1.seg`, generation 1, a PACKED file of 4296
bytes without batches. Stretches of records that are kept follow each other as extents, with headers of 24 bytes:

    offset  extent                  record at   address
    1000    one record from 1448    1018        still segment 1, offset 1448
    1064    one record from 1848    107c        still segment 1, offset 1848

Each record carries its address and keeps it, so neither the index nor the other records that point to it change. A read
of address 1448 finds by bisection the extent that holds it (`Extents.place`), and the record at 1018. The manifest is
replaced only once the new file is durable; before that the old file counts, after that the new one.
"""
