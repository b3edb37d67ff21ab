"""Work beside the requests: reclaiming space, compacting the index, scrubbing."""
