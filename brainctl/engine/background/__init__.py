"""Work beside the requests: reclaiming space, compacting the index, scrubbing.

Each is an iterator of pieces of work of about a given number of bytes. The owner runs each piece, on any thread, and
serves reads and writes between two of them. The modules in reading order:

* `background_work`: offers all of this to the engine;
* `job`: the state of one job, and the runner of those of one kind;
* `segment_picker`: which segment to rewrite next, decided on numbers alone;
* `reclaimer`: finds what is dead, and rewrites one segment after the other;
* `segment_rewrite`: the rewriting of one segment;
* `index_compactor`: when runs are written and merged; LevelDB's compaction;
* `run_build`: the writing of one run;
* `scrubber`: reads all files to find damage before a reader does.

An example: which segment, and in which steps
---------------------------------------------
A compaction has made records dead. With `garbage_ratio` 0.5 the picker compares sealed segments of 64 MiB, the newest
with age 1, by age * dead / kept:

    segment  age   dead     kept     value
    3        3     20 MiB   44 MiB   none: less than half is dead
    4        2     32 MiB   32 MiB   2.0: picked
    5        1     40 MiB   24 MiB   1.7: more is dead, but it is young, and may have more to give soon

The rewrite of segment 4, and what a crash leaves behind after each step:

    written `00000004-1.seg`, in pieces      a file that no manifest names; the next opening removes it
    synced it and the directory              the same
    replaced the manifest                    the new file counts; the next opening removes `00000004-0.seg`
    removed `00000004-0.seg`                 nothing; or the log uses the old file again as a spare segment

`engine/log` shows the bytes of a segment before and after; records keep their addresses, so the index stays as it is.
"""
