"""The comparison of two stores, also while both take writes.

* `compare.py`: the comparison, its report and its rechecks. `lag.py`: how far one side is behind the other.
* `keys.py`: the keys. `range_hashes.py`: hashes of ranges; `narrow.py`: the search by these for what differs.
* `diff.py`: two ordered streams of keys merged, pure. `difference.py`: the kinds of differences.
* `side.py`: what a side is; `files.py`: files as sides, `exported.py`: lists of keys as sides.
* `scope.py`: which keys are compared, `seen.py`: two sides as the scope shows them.
* `history.py`: revisions, and the log of a store. `pace.py`: the limit of bytes per second.
* `checkpoint.py`: how far a comparison is, in a file. `fix.py`: the writes that mend differences.
* `reading.py`: the reads from one store. `accounts.py`: users and roles.

Example: the first store is at revision 100, the second at 98, both take writes, and lag is allowed. Keys are read on
both sides at revision 98. Key "a" has mod_revision 90 on the first and 91 on the second side. In a live comparison it
is read again on both sides at later common revisions, such as 103, up to 5 times; a difference that is still there each
time is reported. Otherwise it is counted as rechecked.
"""
