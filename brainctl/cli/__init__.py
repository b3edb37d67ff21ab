r"""The framework of the command line: from an argument list to a command, its settings and its exit code.

    entry ---> main ---> word_order ---> etcdctl_dialect ---> command, group ---> commands.*
                 |                          \-> etcd_flags         |-> settings ---> contexts
      exit code, signals                                          |-> discovery
                                                                  \-> session ---> streams, stores

In reading order:

* `entry`, `main`: the process; finds the command by name and turns errors and signals into exit codes;
* `word_order`, `etcdctl_dialect`, `etcd_flags`: rewrite an argument list of etcdctl or etcd as Typer takes it;
* `command`, `group`: make a command of a parser, which only reads arguments, and a function that acts;
* `settings`, `contexts`, `discovery`: the global flags, from the command line, variables, a context, or defaults;
* `session`: the settings, the store and the output that a running command works with;
* `streams`, `interrupt`, `signals`: standard streams, Ctrl-C, SIGTERM;
* parts that several commands share: `options`, `serve_flags`, `byte_sizes`, `password`, `store_urls`, `endpoints`,
  `debug_request`, `server_memory`, `child_server`, `progress`, `tls`, `examples`, `share`.

Example: an argument list of etcdctl on its way.

    >>> from brainctl.cli.etcdctl_dialect import translate
    >>> from brainctl.cli.word_order import arranged
    >>> arranged(["--endpoints", "10.0.0.1:2379", "get", "a"], ["get", "put"])
    ['get', '--endpoints', '10.0.0.1:2379', 'a']
    >>> translate(["get", "-w=json", "--keys-only=true", "a"])
    ['get', '-w', 'json', '--keys-only', 'a']

`commands.get.parse` makes a `Query` of the words, `settings.resolve` the settings, and `commands.get.run` gets a
`Session` with these settings and the query.
"""
