"""The bytes of the store's files, without I/O.

Modules in reading order, each with its page in docs/formats/:

* `record`: one version of one key, or one change of a small record, with its address and CRC (log-record.md);
* `batch`: the header before the records of one commit (batch.md);
* `index_entry`: what the index keeps for a key, packed into one integer;
* `index_block`: a block of sorted keys and entries in a run (run.md);
* `bloom_filter`: the filter of a run.
"""
