"""The key index: a memtable over sorted immutable runs, and the versions that a compaction made dead."""
