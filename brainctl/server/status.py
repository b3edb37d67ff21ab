"""Errors of a node as statuses of gRPC."""

from typing import Final

from brainctl.errors import (
    ApiError,
    BrainctlError,
    Code,
    ConnectionFailed,
    Fenced,
    InvalidInput,
    Status,
    StoreDamaged,
    StoreFailed,
    StoreFull,
    StoreInUse,
    StoreWentBack,
    UnknownOutcome,
)

_CODES: Final[dict[type, Code]] = {
    ConnectionFailed: Code.UNAVAILABLE,
    Fenced: Code.UNAVAILABLE,
    InvalidInput: Code.INVALID_ARGUMENT,
    StoreDamaged: Code.DATA_LOSS,
    StoreFailed: Code.UNAVAILABLE,
    StoreFull: Code.RESOURCE_EXHAUSTED,
    StoreInUse: Code.UNAVAILABLE,
    StoreWentBack: Code.DATA_LOSS,
    UnknownOutcome: Code.UNAVAILABLE,
}

INTERNAL: Final = Status(Code.INTERNAL, "internal error; the server's log has more")
DEADLINE_EXCEEDED: Final = Status(Code.DEADLINE_EXCEEDED, "context deadline exceeded")
SOONEST_SECONDS: Final = 1e-6
"""Seconds: a call with a shorter deadline is over before it begins, and so is not begun."""

_SERVICES: Final = frozenset(
    {
        *(f"etcdserverpb.{name}" for name in ("KV", "Watch", "Lease", "Cluster", "Maintenance", "Auth")),
        "v3lockpb.Lock",
        "v3electionpb.Election",
        "brainctlpb.Verification",
    }
)


def status_of(error: BrainctlError) -> Status:
    """Return the status of an error: that of the API where it has one.

    Of the others those get UNAVAILABLE, which clients retry, that may end better elsewhere or later. Who operates the
    server reads the text too: it has the next step.
    """
    if isinstance(error, ApiError):
        return error.status
    code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), Code.UNKNOWN)
    return Status(code, error.told())


def unknown_path(path: str) -> Status | None:
    """Return the status for a path that names no service of etcd or of brainctl, None for one that does."""
    service, separator, _method = path.removeprefix("/").rpartition("/")
    if not separator:
        return Status(Code.UNIMPLEMENTED, f'malformed method name: "{path}"')
    if service not in _SERVICES:
        return Status(Code.UNIMPLEMENTED, f"unknown service {service}")
    return None
