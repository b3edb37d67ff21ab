"""Keep a store on a TiKV cluster: the revision log and the key index as TiKV keys, one writer, readers anywhere.

Every commit is one optimistic (Percolator) transaction, which TiKV has made durable when it is answered. The modules in
reading order:

* Formats, without I/O: `key_codec` (which TiKV keys there are), `value_codec` (a version, a block of the log, the
  head), `commit_codec` (one commit as the keys that it writes).
* The client: `errors` (what can go wrong), `client` (the seam, our own client and the `tikv-client` package behind it).
* Reading: `blocks` (a cache of the log), `counts` (live keys by ranges), `state_view` (one snapshot), `reads` (requests
  that share a timestamp), `latest_view`, `answers` (responses to Range and to transactions that only read).
* Following another process: `published_state`, `log_follower`.
* Writing: `leadership` (who may write), `holder` (who does), `prefetched_view` and `group_commit` (evaluate a group of
  requests), `writer` (queue and commit), `bulk_writer` and `ahead` (more than one transaction takes).
* Several servers: `instances` (who is there), `succession` (who takes the lead when), `process_space` (who is dead).
* In the background: `reclaim` (after a compaction), `safepoint` (TiKV's own garbage collection).
* The whole: `backend` (what a node uses), `replica` (what a migration uses).

**Worked example: the keys that one put writes.** A server leads the store `demo`, and the store is at revision 1. `put
foo bar` becomes revision 2. Its transaction reads `demo/h/head`, checks that it is what this writer wrote last, and
writes three keys (section letter, then position or user key):

    demo/r/ 00 00 00 00 00 00 00 02 00 00 00 00   65 bytes: a block of the log with one change
    demo/k/foo                                    61 bytes: the newest version, live
    demo/h/head                                   56 bytes: revision 2, sequence raised by 1

The version has 45 bytes before the `mvccpb.KeyValue` of 16 bytes; the block has its length, 4 bytes, before it:

    01                                  live (02: tombstone)
    00 00 00 00 00 00 00 02             mod_revision 2
    00 00 00 00                         sub-revision 0
    00 00 00 00 00 00 00 02 00 00 00 00 position of its block, the one above
    00 00 00 00 00 00 00 00             mod_revision of the version before: none
    00 ... (12 bytes)                   position of that one's block: none
    0a 03 66 6f 6f 10 02 18 02 20 01 2a 03 62 61 72     key foo, create 2, mod 2, version 1, value bar

What later requests write besides the head:

    put foo baz         r/3.0 and k/foo: mod 3, version before 2, in the block at 2.0
    delete foo          r/4.0 and d/foo: a tombstone, version before 3; k/foo is deleted
    compact 4           nothing: only the head changes (compacted 4); `reclaim` then drops r/2.0 and r/3.0
    put foo qux         r/5.0 and k/foo; d/foo is deleted. A live version at or below the compacted revision would be
                        copied to b/foo, since its block may be gone

A read at revision 2, before that compaction, finds d/foo (mod 4), steps to the block at 3.0 (mod 3), and from there to
the block at 2.0: bar.

**Worked example: a large revision, written ahead.** One DeleteRange removes 12 000 keys, more than the 5 000 changes
that go into one transaction (`ahead`). The head is at revision 5:

    1. head: revision 5, ahead 6                 one transaction; readers now step back from versions above 5
    2. r/6.<sub> and then d/<key>, no k/<key>    blocks of 64 KiB and 400 index keys per transaction, 8 at a time
    3. head: revision 6, ahead 0                 one transaction; all 12 000 deletions become visible together

A process that dies before 3 leaves `ahead 6`. The next writer gives each key that the blocks above revision 5 name its
version before, removes those blocks and sets `ahead 0`.

**Worked example: the head decides who writes.** Process A leads in epoch 1 and has made commit 7; B takes over:

    A commits            h/head: epoch 1, sequence 7
    B takes over         h/head: epoch 2, sequence 8; h/epoch/2 = 7; h/lane/0 to 7 = 2; h/holder = B
    A begins its next    reads epoch 2 in the head, where it left 1: Fenced, nothing is written
    A did not learn      whether commit 7 was made: h/epoch/2 = 7 says that it was. Had B found sequence 6, A's commit
                         would conflict with B's, since both write the head

docs/formats/tikv-keys.md describes all keys and values.
"""
