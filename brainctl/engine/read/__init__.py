"""Reads: the state of the store at a revision, with caches for what is read often.

Modules in reading order:

* `read_view`: implements `mvcc.view.View` over the index and the log;
* `undo_log`: the last changes, as a way back from the newest state to a recent revision;
* `range_cache`: ranges that were recently listed, with their answers;
* `record_cache`: records that were recently written or read.

Three ways lead to a range at revision R: at the newest revision, the cached ranges of `range_cache`; at a recent one,
these with the undo log applied; at an older one, the versions of each key, from the newest back to R, by the address
that each record has of the one before it.

An example: the undo log
------------------------
The four writes of the example in `engine/index` (addresses are those of records in the log) leave these rows:

    write             revision  key  ended    what `ended` says
    put a=1           2         a    0        there was no live version before
    put b=1           3         b    0        there was no live version before
    put a=2           4         a    1048     the version at 1048 was replaced
    delete b          5         b    -1248    the version at 1248 was deleted

A client lists in pages at revision 3, while revisions 4 and 5 are written. For it `since(3)` reads the rows after
revision 3, the oldest last so that it wins, and returns ({a: 1048, b: 1248}, -1): these versions were live then, and
one key fewer is live now. The range as it is now is [a=2], one key. With the rows put back it is [a=1, b=1], and the
count is 1 - (-1) = 2. `since(2)` returns ({a: 1048, b: 0}, 0): b did not exist at revision 2.
"""
