"""The examples of --help, of the manual pages and of the site: each is run by a test (tests/cli/test_examples.py)."""

from typing import NamedTuple


class Example(NamedTuple):
    """A command line and what it is for."""

    line: str
    purpose: str


EXAMPLES: dict[str, tuple[Example, ...]] = {
    "put": (
        Example("brainctl put greeting hello", "write a key"),
        Example("echo hello | brainctl put greeting", "take the value from standard input"),
        Example("brainctl put session active --lease 694d7a2f1c3b5e08", "attach the key to a lease"),
        Example("brainctl put greeting hi --prev-kv -w json", "show what the key held before"),
    ),
    "get": (
        Example("brainctl get greeting", "read a key"),
        Example("brainctl get /registry/pods/ --prefix --keys-only", "list the keys below a prefix"),
        Example("brainctl get greeting --rev 2", "read the key as it was at revision 2"),
        Example("brainctl get greeting --print-value-only", "print the value alone, for scripts"),
        Example("brainctl get '' --prefix --count-only -w fields", "count all keys"),
        Example("brainctl get greeting --store file:///var/lib/brainctl", "read a store without naming its server"),
    ),
    "del": (
        Example("brainctl del greeting", "delete a key"),
        Example("brainctl del /registry/events/ --prefix", "delete all keys below a prefix, in one revision"),
    ),
    "txn": (
        Example(
            r"""printf 'value("greeting") = "hello"\n\nput greeting hi\n\nget greeting\n\n' | brainctl txn""",
            "put a value only if another one is there, and show the key otherwise",
        ),
        Example("brainctl txn --interactive", "be asked for compares and requests, one after the other"),
    ),
    "watch": (
        Example("brainctl watch /registry/pods/ --prefix", "show changes as they happen"),
        Example("brainctl watch greeting --rev 2", "show all changes since revision 2"),
        Example("brainctl watch greeting -- sh -c 'echo $ETCD_WATCH_KEY'", "run a command for each change"),
    ),
    "lease grant": (Example("brainctl lease grant 60", "make a lease of 60 seconds"),),
    "lease timetolive": (
        Example("brainctl lease timetolive 694d7a2f1c3b5e08 --keys", "show what is left of a lease, and its keys"),
    ),
    "lease keep-alive": (
        Example("brainctl lease keep-alive 694d7a2f1c3b5e08 --once", "renew a lease once"),
        Example("brainctl lease keep-alive 694d7a2f1c3b5e08", "renew a lease until Ctrl-C"),
    ),
    "lease list": (Example("brainctl lease list", "list all leases"),),
    "lease revoke": (Example("brainctl lease revoke 694d7a2f1c3b5e08", "end a lease and delete its keys"),),
    "compaction": (
        Example("brainctl compaction 2", "drop the history before revision 2"),
        Example("brainctl compaction 3 --physical", "return when the space is free, too"),
    ),
    "defrag": (Example("brainctl defrag", "give unused space back to the file system"),),
    "snapshot save": (
        Example("brainctl snapshot save backup.db", "save a snapshot that etcdutl and brainctl restore"),
        Example(
            "brainctl snapshot save --link backup --store file:///var/lib/brainctl", "save a directory as hard links"
        ),
    ),
    "snapshot status": (Example("brainctl snapshot status backup.db -w table", "show what a snapshot holds"),),
    "snapshot restore": (
        Example("brainctl snapshot restore backup.db --data-dir restored", "make a store of a snapshot"),
    ),
    "hashkv": (Example("brainctl hashkv backup.db", "hash the history in a snapshot file"),),
    "endpoint health": (Example("brainctl endpoint health --cluster", "ask every member whether it is healthy"),),
    "endpoint status": (Example("brainctl endpoint status -w table", "show version, size, leader and revision"),),
    "endpoint hashkv": (Example("brainctl endpoint hashkv --rev 4", "hash the history up to revision 4"),),
    "member list": (Example("brainctl member list -w table", "list the members"),),
    "member add": (
        Example("brainctl member add node3 --peer-urls https://10.0.0.3:2380 --learner", "add a learner to etcd"),
    ),
    "member promote": (Example("brainctl member promote 8e9e05c52164694d", "make a learner a voting member"),),
    "member update": (
        Example(
            "brainctl member update 8e9e05c52164694d --peer-urls https://10.0.0.4:2380",
            "change the address of a member",
        ),
    ),
    "member remove": (Example("brainctl member remove 8e9e05c52164694d", "remove a member"),),
    "move-leader": (Example("brainctl move-leader 8e9e05c52164694d", "make another member the leader"),),
    "downgrade validate": (Example("brainctl downgrade validate 3.6", "ask whether a downgrade is possible"),),
    "downgrade enable": (Example("brainctl downgrade enable 3.6", "begin a downgrade"),),
    "downgrade cancel": (Example("brainctl downgrade cancel", "end a downgrade that has begun"),),
    "alarm list": (Example("brainctl alarm list", "list the alarms that are raised"),),
    "alarm disarm": (Example("brainctl alarm disarm", "disarm all alarms, once their cause is gone"),),
    "lock": (
        Example("brainctl lock deploy -- echo deploying", "run a command while holding a lock"),
        Example("brainctl lock deploy", "hold a lock until Ctrl-C"),
    ),
    "elect": (
        Example("brainctl elect primary host-a", "run for a leadership, and lead until Ctrl-C"),
        Example("brainctl elect primary --listen", "show who leads, whenever it changes"),
    ),
    "user add": (
        Example("brainctl user add alice:secret", "add a user with a password"),
        Example("brainctl user add bob --no-password", "add a user who logs in with a certificate"),
    ),
    "user get": (Example("brainctl user get alice", "show the roles of a user"),),
    "user list": (Example("brainctl user list", "list the users"),),
    "user passwd": (Example("echo new-secret | brainctl user passwd alice --interactive=false", "change a password"),),
    "role add": (Example("brainctl role add reader", "add a role"),),
    "role grant-permission": (
        Example("brainctl role grant-permission reader read /config/ --prefix", "let a role read all keys of a prefix"),
    ),
    "role get": (Example("brainctl role get reader", "show what a role allows"),),
    "role list": (Example("brainctl role list", "list the roles"),),
    "user grant-role": (Example("brainctl user grant-role alice reader", "give a user a role"),),
    "user revoke-role": (Example("brainctl user revoke-role alice reader", "take a role from a user"),),
    "role revoke-permission": (
        Example("brainctl role revoke-permission reader /config/ --prefix", "take a permission from a role"),
    ),
    "role delete": (Example("brainctl role delete reader", "delete a role"),),
    "user delete": (Example("brainctl user delete alice", "delete a user"),),
    "auth status": (Example("brainctl auth status", "show whether authentication is on"),),
    "auth enable": (Example("brainctl auth enable", "turn authentication on, once the user root exists"),),
    "auth disable": (Example("brainctl auth disable --user root:secret", "turn authentication off"),),
    "serve": (
        Example("brainctl serve --data-dir data --listen 127.0.0.1:2379", "serve a directory on this machine"),
        Example("brainctl serve --store tikv://pd.example:2379/prod --listen 0.0.0.0:2379", "serve a store on TiKV"),
    ),
    "store create": (Example("brainctl store create file:///tmp/new", "make an empty store"),),
    "store info": (Example("brainctl store info file:///var/lib/brainctl", "show what a store holds, and its size"),),
    "store scrub": (Example("brainctl store scrub file:///var/lib/brainctl", "read every byte of a served store"),),
    "store check": (Example("brainctl store check restored", "prove that a store nobody serves is sound"),),
    "store compact": (Example("brainctl store compact restored", "drop the history of a store nobody serves"),),
    "store defrag": (Example("brainctl store defrag restored", "give unused space back"),),
    "store dump": (Example("brainctl store dump restored", "print every structure in the files of a store"),),
    "store repair": (
        Example("brainctl store repair restored --into repaired", "save what is readable of a damaged store"),
    ),
    "store verify": (Example("brainctl store verify restored repaired", "prove that two directories hold the same"),),
    "flash probe": (
        Example("brainctl flash probe /var/lib --seconds 2s", "measure how fast a device makes writes durable"),
    ),
    "flash report": (
        Example("brainctl flash report file:///var/lib/brainctl", "show what a store writes to its device"),
    ),
    "migrate": (
        Example(
            "brainctl migrate plan --from etcd://etcd.example:2379 --to file://copy",
            "look at both sides, write nothing, and say what stands in the way",
        ),
        Example(
            "brainctl migrate --from etcd://etcd.example:2379 --to file://copy", "copy etcd with its revisions, once"
        ),
        Example(
            "brainctl migrate --from etcd://etcd.example:2379 --to tikv://pd.example:2379/prod --follow",
            "copy, then follow the changes until Ctrl-C",
        ),
        Example("brainctl migrate status --to file://copy", "show how far the migration into a store is"),
    ),
    "verify": (
        Example("brainctl verify --from etcd://etcd.example:2379 --to file://copy", "prove that two stores are equal"),
    ),
    "trace put": (Example("brainctl trace put greeting hello", "show where the time of a write goes"),),
    "demo": (Example("brainctl demo --keys 100 --rate 50", "watch a small live migration on this machine"),),
    "make-mirror": (
        Example("brainctl make-mirror --no-dest-prefix etcd.example:2379", "copy keys to another cluster until Ctrl-C"),
    ),
    "check perf": (Example("brainctl check perf --load s --duration 30s", "measure a server for 30 seconds"),),
    "check history": (
        Example(
            "brainctl check history --duration 30s --record new.jsonl", "prove that a server keeps etcd's promises"
        ),
        Example("brainctl check history run.jsonl", "prove that a recorded history keeps etcd's promises"),
        Example(
            "brainctl check history run.jsonl --junit verdict.xml --counterexample small.jsonl",
            "write the verdict for CI",
        ),
    ),
    "check datascale": (Example("brainctl check datascale --load s", "measure what 10 000 keys cost a server"),),
    "options": (Example("brainctl options", "list the global flags"),),
    "completion": (
        Example("source <(brainctl completion bash)", "complete in this shell"),
        Example("brainctl completion install", "complete in every new shell"),
    ),
    "man install": (Example("brainctl man install", "install the manual pages for this user"),),
    "version": (Example("brainctl version", "print the version"),),
}
"""Examples by the words of the command, in an order in which they can be run one after the other."""


def examples_of(words: str) -> tuple[Example, ...]:
    """Return the examples of a command, and those of its subcommands where `words` names a group."""
    return tuple(
        example for name, some in EXAMPLES.items() if name == words or name.startswith(f"{words} ") for example in some
    )
