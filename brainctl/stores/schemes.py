"""The URL schemes of stores: each is registered here once, with what it can do.

Whoever needs a list of schemes (help texts, errors, commands) takes it from `SCHEMES`; whoever needs to know whether a
store can be served, or has files, looks at `Scheme.can`. A new kind of store is a row here and a module of functions
(`driver.py` describes them).
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Can(StrEnum):
    """Ability of the stores of a scheme; the values complete "it cannot be ..."."""

    OPEN = "opened"
    """A `Store`: everything that a client can ask for."""
    SOURCE = "a source"
    """`migrate --from` copies it, with its revisions."""
    CREATE = "made"
    """`store create` makes an empty one."""
    SERVE = "served"
    """`serve` serves it."""
    TARGET = "a target"
    """`migrate --to` writes into it, with the revisions of the source."""
    FILES = "read as files"
    """A directory of this machine, which is read and repaired while nobody has it open."""


class Scheme(NamedTuple):
    """A kind of store."""

    name: str
    form: str
    """The form of its URLs, for help and errors."""
    about: str
    """Description for help."""
    example: str
    driver: str
    """The module of functions that open it; loaded when it is first used."""
    can: frozenset[Can]
    spellings: tuple[str, ...] = ()
    """Other schemes that mean it, and are a part of its addresses."""
    is_path: bool = False
    """Whether the URL has the name of a directory or a file of this machine."""
    is_server: bool = False
    """Whether the URL has the addresses of servers."""
    counts_fast: bool = True
    """The number of its keys is known without reading them."""
    measures: bool = True
    """Whether a store tells the bytes that it takes up, so that they can be limited."""
    why_not: Mapping[Can, str] = MappingProxyType({})
    """Reason for which it cannot do something that one might expect of it."""


ETCD = Scheme(
    "etcd",
    "etcd://HOST:PORT",
    "a server of the etcd API, also as http:// and https://",
    "etcd://10.0.0.1:2379,10.0.0.2:2379",
    "brainctl.stores.etcd.driver",
    frozenset({Can.OPEN, Can.SOURCE}),
    spellings=("http", "https", "unix", "unixs"),
    is_server=True,
    why_not=MappingProxyType({Can.TARGET: "it would not keep revisions"}),
)
FILE = Scheme(
    "file",
    "file://DIR",
    "a directory of this machine; if a server holds it, the server is called instead",
    "file:///var/lib/brainctl",
    "brainctl.stores.directory",
    frozenset({Can.OPEN, Can.SOURCE, Can.CREATE, Can.SERVE, Can.TARGET, Can.FILES}),
    is_path=True,
)
TIKV = Scheme(
    "tikv",
    "tikv://PD/PREFIX",
    "a store over TiKV, by its placement drivers and a prefix of keys",
    "tikv://pd.example:2379/prod",
    "brainctl.stores.tikv",
    frozenset({Can.OPEN, Can.SOURCE, Can.CREATE, Can.SERVE, Can.TARGET}),
    counts_fast=False,
    measures=False,
)
_SAVED = "it is a saved file, of which `brainctl snapshot restore` makes a store"
SNAPSHOT = Scheme(
    "snapshot",
    "snapshot://FILE",
    "a database file of etcd: a snapshot, or `member/snap/db` of an etcd that is stopped",
    "snapshot:///backup/snapshot.db",
    "brainctl.migrate.snapshot_source",
    frozenset({Can.SOURCE}),
    is_path=True,
    why_not=MappingProxyType(dict.fromkeys((Can.OPEN, Can.SERVE), _SAVED)),
)
SCHEMES = (ETCD, FILE, TIKV, SNAPSHOT)
"""All schemes, in the order in which texts list them."""
BY_SPELLING = {name: scheme for scheme in SCHEMES for name in (scheme.name, *scheme.spellings)}
"""The schemes by all their spellings."""


def forms(what: Can, word: str = "and") -> str:
    """Return the forms of the URLs whose schemes can do something, as a list with `word` before the last."""
    *first, last = [scheme.form for scheme in SCHEMES if what in scheme.can]
    return f"{', '.join(first)} {word} {last}" if first else last
