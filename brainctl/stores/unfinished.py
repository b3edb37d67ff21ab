"""The protection of copies that a migration has not finished: they must not be taken for whole stores.

Of the record of the migration (brainctl/migrate/machine/record.py) only the needed fields are read here, of any format.
"""

import struct
import warnings
from collections.abc import Callable
from typing import NamedTuple, Self

from google.protobuf.message import Message

from brainctl.errors import InvalidInput
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.checkpoint import decode_checkpoint

COMMITTED, SYNCED = "committed", "synced"
"""The phases in which the target is whole: handed over, or as the source was at the watermark."""
_READS = (
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.Lease/LeaseTimeToLive",
    "/etcdserverpb.Lease/LeaseLeases",
    "/etcdserverpb.Maintenance/Status",
    "/etcdserverpb.Maintenance/Hash",
    "/etcdserverpb.Maintenance/HashKV",
    "/etcdserverpb.Maintenance/Defragment",
    "/etcdserverpb.Cluster/MemberList",
    "/etcdserverpb.Auth/AuthStatus",
    "/etcdserverpb.Auth/Authenticate",
    "/etcdserverpb.Auth/UserGet",
    "/etcdserverpb.Auth/UserList",
    "/etcdserverpb.Auth/RoleGet",
    "/etcdserverpb.Auth/RoleList",
    "/brainctlpb.Verification/HashRange",
)
"""Methods that change nothing; transactions and alarms are looked at request by request."""


class Unfinished(InvalidInput):
    """A migration has not finished its copy into the store."""


class Standing(NamedTuple):
    """Progress of the migration into a store, by its record."""

    phase: str
    cluster: int
    base: int
    watermark: int
    keys: int
    expected: int

    @classmethod
    def of(cls, record: bytes | None) -> Self | None:
        """Return what the small record of a store says; None when there is none."""
        if record is None:
            return None
        import orjson  # noqa: PLC0415 - not for a command that asks a server

        try:
            fields = orjson.loads(decode_checkpoint(record).state)
            return cls(str(fields["phase"]), *(int(fields[name]) for name in cls._fields[1:]))
        except (ValueError, TypeError, KeyError, struct.error):
            return cls("unreadable", 0, 0, 0, 0, 0)

    @property
    def unfinished(self) -> bool:
        """Return whether the store lacks keys or changes that the source had."""
        return self.phase not in (COMMITTED, SYNCED)

    def __str__(self) -> str:
        """Return the words for a user."""
        cutting = f"is in the middle of its cutover ({self.phase}, revision {self.watermark})"
        far = {
            "new": "has begun, and copied no key yet",
            "copying": f"has copied {self.keys} of {self.expected} keys",
            "catching-up": f"has copied keys and changes up to revision {self.watermark}, and not caught up",
            "freezing": cutting,
            "draining": cutting,
            "verifying": cutting,
            SYNCED: f"was synced at revision {self.watermark}, and not cut over",
            COMMITTED: f"was cut over at revision {self.watermark}",
        }.get(self.phase, f"has left a record that this version does not know (phase {self.phase})")
        return f"a migration from cluster {self.cluster:x} {far}"

    def fields(self) -> dict[str, str]:
        """Return the record for `store info`."""
        return {
            "migration": self.phase,
            "migration source": f"{self.cluster:x}",
            "migration base": str(self.base),
            "migration watermark": str(self.watermark),
            "migration keys": f"{self.keys} of {self.expected}",
        }


class Admission(NamedTuple):
    """Treatment of an unfinished copy."""

    allowed: bool
    """`--even-unfinished`: it is served and written like any other store."""
    warn: Callable[[str], None]
    """Shows a warning to the user."""
    copying: bool = False
    """Whether another store is made of what is read, which would not show that something is missing."""

    def to_read(self, record: bytes | None, url: str) -> Unfinished | None:
        """Warn of an unfinished copy; return the error with which changes of it are refused.

        Raises:
            Unfinished: It is read to make another store of it, and that is not allowed.
        """
        standing = Standing.of(record)
        if standing is None or not standing.unfinished:
            return None
        if self.copying and not self.allowed:
            raise refusal(url, standing, "copied")
        self.warn(f"warning: {url} is an unfinished copy: {standing}")
        return None if self.allowed else refusal(url, standing, "written")

    def to_serve(self, record: bytes | None, url: str) -> None:
        """Warn of a copy that was not cut over.

        Raises:
            Unfinished: It is not finished, and that is not allowed.
        """
        standing = Standing.of(record)
        if standing is None or standing.phase == COMMITTED:
            return
        if standing.unfinished and not self.allowed:
            raise refusal(url, standing, "served")
        missing = "" if standing.unfinished else "; what its source has taken since is not in it"
        self.warn(f"warning: {url} is served, but {standing}{missing}")


def _warn(text: str) -> None:
    warnings.warn(text.removeprefix("warning: "), stacklevel=2)


CAUTIOUS = Admission(allowed=False, warn=_warn)
"""Treatment where a program does not choose one: read with a Python warning, not written."""
UNNOTICED = Admission(allowed=False, warn=lambda _: None)
"""Treatment by who knows that the copy is not finished: read, not written."""


def refusal(url: str, standing: object, what: str) -> Unfinished:
    """Return the error for a store that must not be served, written, or copied."""
    return Unfinished(
        f"{url} is not {what}, because {standing}: the same `brainctl migrate` goes on where it stopped, and "
        "--even-unfinished overrides this"
    )


def changes(method: str, request: Message) -> bool:
    """Return whether a call may change a store."""
    if isinstance(request, pb.TxnRequest):
        from brainctl.node.services.kv.service import is_readonly  # noqa: PLC0415 - a node is loaded where there is one to ask

        return not is_readonly(request)
    if isinstance(request, pb.AlarmRequest):
        return request.action != pb.AlarmRequest.GET
    return method not in _READS
