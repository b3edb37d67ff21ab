"""The bytes of the files, without I/O: records, batches, index entries and blocks, Bloom filters."""
