"""The file system that the engine uses, passed in, and the lock of a store directory."""
