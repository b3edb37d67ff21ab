r"""The comparison of two stores, also while both take writes.

    verifier ---> opening ---> files, exported, reading       the two sides, by their URLs
        \--> compare ---> keys ---> narrow ---> range_hashes    the keys: hashes first, then what differs
                |           \-> diff ---> difference           two ordered streams merged
                |-> history, accounts, lag                     revisions; users and roles; how far one is behind
                |-> pace, checkpoint                           bytes per second; going on where it stopped
                \-> scope, seen, side                          which keys, and as which names
    fix ---> reading                                           the writes that make the second side like the first

* `compare`: the comparison, its report and its rechecks; `keys`: the keys at a revision that both sides have;
* `range_hashes`: hashes of ranges; `narrow`: finds by smaller and smaller ranges what differs; `diff`: merges, pure;
* `side`: the interface of a side; `reading`: a store; `files`: snapshots, data directories; `exported`: lists of keys;
* `scope`: which keys are compared; `seen`: two sides as the scope shows them; `history`: revisions, and the own log.

Example of a live comparison: the first store is at revision 100, the second at 98, both take writes, and lag is
allowed. Keys are read on both sides at revision 98. Key "a" has mod_revision 90 on the first and 91 on the second side.
It is read again on both sides at later common revisions, such as 103, up to 5 times; a difference that is still there
each time is reported. Otherwise it is counted as rechecked.

Example of a merge: each side is read in pages; the second is asked for the keys up to where the first is known.

    >>> from brainctl.verify.diff import Merge, Page
    >>> merge = Merge()
    >>> merge.expected.add(Page([b"a", b"b"], [b"kv1", b"kv2"], b"c"))     # all keys below "c"
    >>> [(want.side is merge.found, want.start, want.end) for want in merge.wanted()]
    [(True, b'', b'c')]
    >>> merge.found.add(Page([b"a", b"bb"], [b"kv1", b"kv3"], b"c"))
    >>> list(merge.differences())
    [MissingKey(key=b'b'), ExtraKey(key=b'bb')]
"""
