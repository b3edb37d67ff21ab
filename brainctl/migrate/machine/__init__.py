"""The state machine of a migration, without I/O: events in, actions out."""
