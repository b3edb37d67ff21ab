"""A store moved into another while it is in use, with its revisions, versions and leases.

`phase` and `state` decide (a state machine without I/O, on `base`, `backlog` and `leases`), `runner` carries out,
`checkpoint` is what a new process goes on from.
"""
