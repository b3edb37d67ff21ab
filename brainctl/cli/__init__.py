"""The framework of the command line: from an argument list to a command, its settings and its exit code.

In reading order:

* `entry`, `main`: the process; finds the command by name and turns errors and signals into exit codes
* `word_order`, `etcdctl_dialect`, `etcd_flags`: rewrite an argument list of etcdctl or etcd as Typer takes it
* `command`, `group`: make a command of a parser, which only reads arguments, and a function that acts
* `settings`, `contexts`, `discovery`: the global flags, from the command line, variables, a context, or defaults
* `session`: what a running command works with
* `streams`, `interrupt`, `signals`: standard streams, Ctrl-C, SIGTERM
* the other modules are parts that several commands share: options, passwords, store URLs, endpoints

For example `brainctl get -w=json a` is rewritten as `get -w json a`; `commands.get.parse` makes a `Query` of it,
`settings.resolve` the settings, and `commands.get.run` gets a `Session` with these settings and the query.
"""
