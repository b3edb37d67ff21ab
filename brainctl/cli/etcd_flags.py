"""The flags of etcd that have nothing to set here, so that a command line, a unit or a file of etcd starts a server.

Those that would be a promise are refused, such as a second member. The others are taken, and listed in one warning.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from brainctl.cli.serve_flags import FLAGS
from brainctl.cli.settings import Kind, read_bool
from brainctl.errors import BadArguments, BrainctlError

OPTION: Final = "etcd-setting"
"""The hidden option that carries what the command line has of these flags, as NAME=VALUE."""
OLD_PREFIX: Final = "experimental-"
"""Prefix that names of etcd 3.5 and 3.6 have and later ones lost."""
_WORD: Final = re.compile(r"--?([a-z][a-z0-9-]+)(?:=(.*))?", re.DOTALL)

_TEXTS: Final = """
backend-batch-interval backend-batch-limit backend-bbolt-freelist-type bootstrap-defrag-threshold-megabytes
client-cert-file client-key-file compact-hash-check-time compaction-batch-limit compaction-sleep-interval
corrupt-check-time discovery-cacert discovery-cert discovery-dial-timeout discovery-fallback discovery-keepalive-time
discovery-keepalive-timeout discovery-key discovery-password discovery-proxy discovery-request-timeout
discovery-srv-name discovery-user distributed-tracing-address distributed-tracing-instance-id
distributed-tracing-sampling-rate distributed-tracing-service-name downgrade-check-time election-timeout feature-gates
heartbeat-interval initial-cluster-state initial-cluster-token listen-peer-urls log-outputs log-rotation-config-json
logger max-learners max-snapshots max-wals metrics peer-cert-allowed-cn peer-cert-allowed-hostname peer-cert-file
peer-client-cert-file peer-client-key-file peer-crl-file peer-key-file peer-trusted-ca-file raft-read-timeout
raft-write-timeout self-signed-cert-validity snapshot-catchup-entries snapshot-count unsupported-arch v2-deprecation
wal-dir warning-apply-duration warning-unary-request-duration
"""
_TRUTHS: Final = """
compact-hash-check-enabled discovery-insecure-skip-tls-verify discovery-insecure-transport enable-distributed-tracing
enable-lease-checkpoint enable-lease-checkpoint-persist enable-log-rotation enable-pprof enable-v2 enable-v2v3
initial-corrupt-check initial-election-tick-advance memory-mlock peer-auto-tls peer-client-cert-auth
peer-skip-client-san-verification pre-vote set-member-localaddr socket-reuse-address socket-reuse-port
stop-grpc-service-on-defrag strict-reconfig-check txn-mode-write-with-shared-buffer
"""


class _Refused(NamedTuple):
    """A flag that is taken only where it asks for nothing."""

    kind: Kind
    asks: Callable[[str], bool]
    why: str


def _is_true(text: str) -> bool:
    return read_bool(text, "flag")


def _has_others(initial_cluster: str) -> bool:
    """Return whether the value of --initial-cluster, NAME=URL with commas between, names several members."""
    return len({part.partition("=")[0].strip() for part in initial_cluster.split(",") if part.strip()}) > 1


_ALONE: Final = "one member serves here, and its data would be a store of its own beside those of the other members"
REFUSED: Final = {
    "auto-tls": _Refused(
        Kind.BOOL, _is_true, "no certificates are made here: give --cert-file and --key-file, or serve without TLS"
    ),
    "discovery": _Refused(Kind.TEXT, bool, _ALONE),
    "discovery-endpoints": _Refused(Kind.TEXT, bool, _ALONE),
    "discovery-srv": _Refused(Kind.TEXT, bool, _ALONE),
    "discovery-token": _Refused(Kind.TEXT, bool, _ALONE),
    "force-new-cluster": _Refused(
        Kind.BOOL, _is_true, "there never are other members here: restore a snapshot of the cluster, or migrate from it"
    ),
    "initial-cluster": _Refused(Kind.TEXT, _has_others, _ALONE),
    "unsafe-no-fsync": _Refused(
        Kind.BOOL, _is_true, "what is answered is durable here, and without fsync a power cut would take it back"
    ),
}
IGNORED: Final = dict.fromkeys(_TEXTS.split(), Kind.TEXT) | dict.fromkeys(_TRUTHS.split(), Kind.BOOL)
"""Kind of the value of each flag, by name."""
KINDS: Final = IGNORED | {name: refused.kind for name, refused in REFUSED.items()}
_OWN: Final = {name for flag in FLAGS for name in (flag.name, flag.alias) if name}


class Setting(NamedTuple):
    """One of these flags as it was given."""

    name: str
    text: str
    origin: str
    """The flag, the variable, or the key of a file."""


def is_known(name: str) -> bool:
    """Return whether a name is that of one of these flags, the older names included."""
    return name.removeprefix(OLD_PREFIX) in KINDS


def translate(argv: Sequence[str]) -> list[str]:
    """Return a command line of serve with these flags as values of the hidden option, and all others with two dashes.

    As in Go, a flag may have one dash, and one that is true or false has its value behind "=".
    """
    out: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            return [*out, word, *words]
        match = _WORD.fullmatch(word)
        name, value = (match[1], match[2]) if match else ("", None)
        plain = name.removeprefix(OLD_PREFIX)
        if plain in KINDS:
            if value is None:
                value = "true" if KINDS[plain] is Kind.BOOL else next(words, None)
            if value is None:
                raise BrainctlError(f"flag needs an argument: --{name}")
            out += [f"--{OPTION}", f"{name}={value}"]
        elif plain in _OWN:
            out.append(f"--{plain}" if value is None else f"--{plain}={value}")
        else:
            out.append(word)
    return out


def check(settings: Iterable[Setting]) -> list[str]:
    """Return where settings that have nothing to set here are from, in order.

    Raises:
        BadArguments: One of them would be a promise that is not kept, or is neither true nor false.
    """
    ignored = []
    for name, text, origin in settings:
        plain = name.removeprefix(OLD_PREFIX)
        refused = REFUSED.get(plain)
        if KINDS[plain] is Kind.BOOL:
            read_bool(text, origin)
        if refused is not None and text and refused.asks(text):
            raise BadArguments(f"{origin} is refused: {refused.why}")
        if refused is None or refused.kind is Kind.TEXT:
            ignored.append(origin)
    return ignored


def of_environment(environ: Iterable[tuple[str, str]]) -> tuple[list[Setting], list[str]]:
    """Return what the variables ETCD_... set of these flags, and the variables that are nobody's.

    Variables that Kubernetes makes of a service called etcd are not looked at.
    """
    settings, unknown = [], []
    known = {variable for flag in FLAGS for variable in flag.variables()}
    for variable, text in sorted(environ):
        if not variable.startswith("ETCD_") or not text or variable in known or _SERVICE.fullmatch(variable):
            continue
        name = variable.removeprefix("ETCD_").lower().replace("_", "-")
        if is_known(name):
            settings.append(Setting(name, text, variable))
        elif name.removeprefix(OLD_PREFIX) not in _OWN:
            unknown.append(variable)
    return settings, unknown


_SERVICE: Final = re.compile(r"ETCD_(?:.*_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_[0-9]+_.*)?)")
