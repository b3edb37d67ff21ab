"""Jobs beside the requests: compaction, scrubs, reading history for watchers that are behind."""
