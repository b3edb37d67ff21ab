"""Work on a store that no process has open: check, dump, info, repair, rebuild.

The modules in reading order:

* `info`: what a store holds and what takes its space, in numbers;
* `check`, `check_index`: read every byte and verify what can be verified, without changing anything;
* `inventory`, `salvage_scan`: the files of a store that may be damaged, and what is intact in one of them;
* `dump`: every structure in the files, for checking them by hand;
* `damage_survey`: what can be saved of a damaged store, and what was lost;
* `rebuild`: writes a new store from versions at hand;
* `repair`: saves what the survey has found into a new store.

An example: a batch that rotted, and the repaired store
-------------------------------------------------------
Segment 1 holds the revisions 2 to 20, one to a batch. The batch of revision 7, `put x`, has a damaged record:

    opening    StoreDamaged: 00000001-0.seg: the batch at offset 6656 is damaged
    check      the same, as its one finding
    scan       Batch and Record pieces up to revision 6; the Batch at 6656, and a Hole from 6728 to 6810 in place of its
               record; then Batch and Record pieces up to revision 20
    survey     Loss(file 00000001-0.seg, offset 6728, length 82, first 7, last 7)
    repair     a new store at revision 20, compacted 8: every revision from 8 on can be read and watched. It begins with
               what is readable of revision 7

What happens to x depends on what else is known of it:

    a later version of x exists      the newest state is complete; only the history of revision 7 is named as lost
    none, but an index run has x     x is named as lost, with the older version that the new store has in its place
    none, and no run                 x shows its older version; the Loss says that revision 7 is missing
"""
