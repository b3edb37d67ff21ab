"""The local medium: a revision log in segment files and a key index over it. Synchronous and deterministic."""
