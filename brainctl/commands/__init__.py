"""The commands: a module or a folder each, loaded when it is run.

    cli.main ---> COMMANDS ---> commands.put.app ---> parse ---> Put (a plan)
                                                        run(session, plan) ---> stores, client, migrate, verify, ...

Each has a `parse`, which reads the arguments and returns a plan, a `run`, which carries the plan out with a session,
and an `app`, which `brainctl.cli.command` makes of both. `parse` opens nothing: a mistake in the arguments is
reported before any store is reached. `run` writes data with `session.write`, talk with `session.warn`, and raises
what went wrong; `cli.main` alone turns that into an exit code. No command imports another; what several share is in
`options`, `brainctl.cli` (flags) and `brainctl.client` (recipes).

Read `put` first, then `get`, `txn` and `watch`. `serve`, `migrate`, `verify`, `check`, `store`, `flash`, `trace` and
`demo` are brainctl's own; the others are etcdctl's.

Example: `brainctl get --prefix /registry/ --keys-only` becomes a plan without any store in reach:

    >>> from brainctl.commands.get import parse
    >>> plan = parse(["/registry/"], prefix=True, keys_only=True)
    >>> plan.request.key, plan.request.range_end, plan.request.keys_only
    (b'/registry/', b'/registry0', True)
"""
