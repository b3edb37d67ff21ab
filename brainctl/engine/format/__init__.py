"""The bytes of the store's files, without I/O.

Modules in reading order, each with its page in docs/formats/:

* `file_names`: the names of segments and runs, composed and parsed;
* `segment_header`: the first block of a segment file (segment.md);
* `record`: one version of one key, or one change of a small record, with its address and CRC (log-record.md);
* `batch`: the header before the records of one commit (batch.md);
* `extent`: the header before records that a rewrite kept together (segment.md);
* `batch_reader`: walks over batches and extents, strict or forgiving;
* `index_entry`: what the index keeps for a key, packed into one integer;
* `run_header`: the first block of a run file (run.md);
* `index_block`: a block of sorted keys and entries in a run (run.md);
* `bloom_filter`: the filter of a run.
"""
