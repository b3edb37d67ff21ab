"""The commands: a module or a folder each, loaded when it is run.

Each has a `parse`, which reads the arguments and returns a plan, a `run`, which carries the plan out with a session,
and an `app`, which `brainctl.cli.command` makes of both. Read `put` first, then `get`, `txn` and `watch`. `serve`,
`migrate`, `verify`, `store`, `flash`, `trace` and `demo` are brainctl's own; the others are etcdctl's.
"""
