"""The local engine: a store on a file system, as a revision log in segment files and a key index over it.

Synchronous and deterministic: time, randomness and files are passed in, and threads are the caller's.

`engine` is the place to begin: an `Engine` has a `view`, which reads, and `background`, which keeps the store small.
`options`, `stats`, `sector` and `write_history` (what a store has written to its disk, by hour and day) stand beside
it. Folders, from the bottom up; each one imports only those before it:

* `vfs`: the file system that the engine uses, passed in;
* `format`: bytes of files, without I/O;
* `log`: segments, the writer at the end of the log, the manifest;
* `index`: the memtable and the sorted runs below it;
* `read`: the state at a revision, with caches;
* `recovery`: opening a store;
* `background`: reclaiming space, writing runs, scrubbing;
* `offline`: check, dump, info, repair and rebuild of a store that nobody has open (it imports `engine`, too).

The life of a commit
--------------------
    call                     thread        what holds afterwards
    `Engine.encode(A)`       the owner     A has addresses in the log; nothing is written, nobody sees it
    `Engine.encode(B)`       the owner     B follows A; its records may already point to those of A
    `Engine.write([A, B])`   the writer    one write and one fdatasync: both are durable, and still invisible
    `Engine.publish(A)`      the owner     the index has A, readers see its revision; the client may be answered
    `Engine.publish(B)`      the owner     B, too

A crash before `write` returns may keep A and B, A alone or neither; what was published is never lost.
"""
