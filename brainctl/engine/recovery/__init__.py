"""Opening a store: what the manifest names is read, and the end of the log is replayed."""
