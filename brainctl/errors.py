"""What can go wrong: one class per reaction of the caller.

`ApiError` is an answer of the etcd API: a gRPC code and etcd's own text, on which clients match
(etcd api/v3rpc/rpctypes/error.go). The other classes are brainctl's own; each carries the exit code with
which the command line ends. Exit codes 0 to 6 and 128 are etcdctl's (etcd pkg/cobrautl/error.go).

The text of an error says what happened, and where. What an operator does next is the error's advice: it belongs to the
class, or to the number of an error of the operating system (`next_step`), so that texts stay short and advice is the
same everywhere. `BrainctlError.told` joins both.
"""

import errno
from enum import IntEnum
from typing import Final, NamedTuple, Self


class ExitCode(IntEnum):
    """Exit codes of a brainctl process."""

    OK = 0
    ERROR = 1
    CONNECTION = 2
    INVALID_INPUT = 3
    UNSUPPORTED = 4
    INTERRUPTED = 5
    IO = 6
    DIFFERENT = 7
    COMPACTED = 8
    FENCED = 9
    IN_USE = 11
    DAMAGED = 12
    NO_SPACE = 13
    NOT_EMPTY = 14
    UNKNOWN_OUTCOME = 15
    LISTEN = 16
    TOO_SLOW = 17
    TIMEOUT = 124
    BAD_ARGS = 128
    SIGINT = 130
    SIGTERM = 143


class Code(IntEnum):
    """gRPC status codes (grpc statuscodes.md)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Status(NamedTuple):
    """A gRPC status: the code and etcd's text for it."""

    code: Code
    message: str


EMPTY_KEY = Status(Code.INVALID_ARGUMENT, "etcdserver: key is not provided")
KEY_NOT_FOUND = Status(Code.INVALID_ARGUMENT, "etcdserver: key not found")
VALUE_PROVIDED = Status(Code.INVALID_ARGUMENT, "etcdserver: value is provided")
LEASE_PROVIDED = Status(Code.INVALID_ARGUMENT, "etcdserver: lease is provided")
TOO_MANY_OPS = Status(Code.INVALID_ARGUMENT, "etcdserver: too many operations in txn request")
DUPLICATE_KEY = Status(Code.INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request")
INVALID_SORT_OPTION = Status(Code.INVALID_ARGUMENT, "etcdserver: invalid sort option")
INVALID_CLIENT_API = Status(Code.INVALID_ARGUMENT, "etcdserver: invalid client api version")
COMPACTED = Status(Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted")
FUTURE_REVISION = Status(Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision")
NO_SPACE = Status(Code.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded")
LEASE_NOT_FOUND = Status(Code.NOT_FOUND, "etcdserver: requested lease not found")
LEASE_EXISTS = Status(Code.FAILED_PRECONDITION, "etcdserver: lease already exists")
LEASE_TTL_TOO_LARGE = Status(Code.OUT_OF_RANGE, "etcdserver: too large lease TTL")
REQUEST_TOO_LARGE = Status(Code.INVALID_ARGUMENT, "etcdserver: request is too large")
TOO_MANY_REQUESTS = Status(Code.RESOURCE_EXHAUSTED, "etcdserver: too many requests")
STOPPED = Status(Code.UNAVAILABLE, "etcdserver: server stopped")
TIMEOUT = Status(Code.UNAVAILABLE, "etcdserver: request timed out")
CONNECTION_LOST = Status(Code.UNAVAILABLE, "etcdserver: request timed out, possibly due to connection lost")
LEADER_CHANGED = Status(Code.UNAVAILABLE, "etcdserver: leader changed")
NO_LEADER = Status(Code.UNAVAILABLE, "etcdserver: no leader")
NOT_LEADER = Status(Code.FAILED_PRECONDITION, "etcdserver: not leader")
CORRUPT = Status(Code.DATA_LOSS, "etcdserver: corrupt cluster")
MEMBER_NOT_FOUND = Status(Code.NOT_FOUND, "etcdserver: member not found")
MEMBER_URLS_INVALID = Status(Code.INVALID_ARGUMENT, "etcdserver: given member URLs are invalid")
MEMBER_URLS_TAKEN = Status(Code.FAILED_PRECONDITION, "etcdserver: Peer URLs already exists")
MEMBER_NOT_LEARNER = Status(Code.FAILED_PRECONDITION, "etcdserver: can only promote a learner member")
TOO_MANY_LEARNERS = Status(Code.FAILED_PRECONDITION, "etcdserver: too many learner members in cluster")
TOO_FEW_STARTED = Status(Code.UNKNOWN, "etcdserver: re-configuration failed due to not enough started members")
UNHEALTHY = Status(Code.UNAVAILABLE, "etcdserver: unhealthy cluster")
BAD_TRANSFEREE = Status(Code.FAILED_PRECONDITION, "etcdserver: bad leader transferee")
DOWNGRADE_VERSION_MALFORMED = Status(Code.INVALID_ARGUMENT, "etcdserver: wrong downgrade target version format")
DOWNGRADE_VERSION_INVALID = Status(Code.INVALID_ARGUMENT, "etcdserver: invalid downgrade target version")
DOWNGRADE_IN_PROGRESS = Status(Code.FAILED_PRECONDITION, "etcdserver: cluster has a downgrade job in progress")
UNKNOWN_METHOD = Status(Code.UNKNOWN, "etcdserver: unknown method")

ROOT_USER_MISSING = Status(Code.FAILED_PRECONDITION, "etcdserver: root user does not exist")
ROOT_ROLE_MISSING = Status(Code.FAILED_PRECONDITION, "etcdserver: root user does not have root role")
USER_EXISTS = Status(Code.FAILED_PRECONDITION, "etcdserver: user name already exists")
USER_EMPTY = Status(Code.INVALID_ARGUMENT, "etcdserver: user name is empty")
USER_NOT_FOUND = Status(Code.FAILED_PRECONDITION, "etcdserver: user name not found")
ROLE_EXISTS = Status(Code.FAILED_PRECONDITION, "etcdserver: role name already exists")
ROLE_NOT_FOUND = Status(Code.FAILED_PRECONDITION, "etcdserver: role name not found")
ROLE_EMPTY = Status(Code.INVALID_ARGUMENT, "etcdserver: role name is empty")
ROLE_NOT_GRANTED = Status(Code.FAILED_PRECONDITION, "etcdserver: role is not granted to the user")
AUTH_FAILED = Status(Code.INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password")
AUTH_NOT_ENABLED = Status(Code.FAILED_PRECONDITION, "etcdserver: authentication is not enabled")
AUTH_OLD_REVISION = Status(Code.INVALID_ARGUMENT, "etcdserver: revision of auth store is old")
INVALID_AUTH_TOKEN = Status(Code.UNAUTHENTICATED, "etcdserver: invalid auth token")
INVALID_AUTH_MANAGEMENT = Status(Code.INVALID_ARGUMENT, "etcdserver: invalid auth management")
PERMISSION_DENIED = Status(Code.PERMISSION_DENIED, "etcdserver: permission denied")
PERMISSION_NOT_GIVEN = Status(Code.INVALID_ARGUMENT, "etcdserver: permission not given")
PERMISSION_NOT_GRANTED = Status(Code.FAILED_PRECONDITION, "etcdserver: permission is not granted to the role")


START_AGAIN: Final = "nothing that was acknowledged is lost: look at the device (dmesg, smartctl), then start again"
RESTORE: Final = "`brainctl store repair DIR --into NEW` saves what can be read, `brainctl snapshot restore` a backup"
_SPACE: Final = "free space there, then start again"
_RIGHTS: Final = "run this as the user that owns it, or change its owner or its mode"
_NAME: Final = "check the name, and that its directory exists"
_DESCRIPTORS: Final = "raise the limit of open files (ulimit -n, LimitNOFILE of systemd)"
_STEPS: Final = {
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "mount that file system for writing, or choose another place",
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EIO: START_AGAIN,
    errno.EMFILE: _DESCRIPTORS,
    errno.ENFILE: _DESCRIPTORS,
    errno.ENOENT: _NAME,
    errno.ENOTDIR: _NAME,
    errno.EISDIR: "name a file, not a directory",
    errno.EEXIST: "choose another name, or remove what is there",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EADDRINUSE: "`ss -lnp` shows who listens there: stop that, or choose another address",
    errno.EADDRNOTAVAIL: "`ip addr` shows the addresses of this machine: choose one of them",
}


def next_step(error: OSError) -> str:
    """Return what an operator can do about an error of the operating system; empty where there is nothing to say."""
    return _STEPS.get(error.errno or 0, "")


class BrainctlError(Exception):
    """A failure that brainctl can name; its text is one sentence for the user."""

    exit_code = ExitCode.ERROR
    advice = ""
    """The next step of an operator; empty where the text itself says it."""
    passing = False
    """Whether the request may succeed later, as it is."""

    def advised(self, advice: str) -> Self:
        """Return this error with another next step; an empty one changes nothing."""
        self.advice = advice or self.advice
        return self

    def told(self) -> str:
        """Return the text for an operator: what happened and where, then the next step."""
        return f"{self}; {self.advice}" if self.advice else str(self)


class ApiError(BrainctlError):
    """An answer of the etcd API other than OK; nothing was changed by the request."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status
        self.passing = status.code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.ABORTED)
        if status == AUTH_FAILED:  # nobody was reached as the one who asks: etcdctl's code for having no client
            self.exit_code = ExitCode.CONNECTION


class ConnectionFailed(BrainctlError):
    """No endpoint could be reached."""

    exit_code = ExitCode.CONNECTION
    passing = True


class DialTimedOut(ConnectionFailed):
    """No endpoint gave an answer within the time for connecting; nothing of a request was sent."""

    exit_code = ExitCode.TIMEOUT


class InvalidInput(BrainctlError):
    """The input cannot be read: an argument, a file or standard input."""

    exit_code = ExitCode.INVALID_INPUT


class BadArguments(BrainctlError):
    """The command line does not say what to do: too many arguments, flags that exclude each other."""

    exit_code = ExitCode.BAD_ARGS


class Unsupported(BrainctlError):
    """A flag has a value that the command does not know."""

    exit_code = ExitCode.UNSUPPORTED


class Interrupted(BrainctlError):
    """Something that was to run on was ended by the other side."""

    exit_code = ExitCode.INTERRUPTED


class TimedOut(BrainctlError):
    """No answer came in time; nothing was changed by the request."""

    exit_code = ExitCode.TIMEOUT
    passing = True


class StoreInUse(BrainctlError):
    """Another process holds the store; the text names its pid."""

    exit_code = ExitCode.IN_USE


class StoreDamaged(BrainctlError):
    """Bytes of the store are not what was written; the text names file and offset."""

    exit_code = ExitCode.DAMAGED
    advice = f"`brainctl store check DIR` shows all that is damaged, {RESTORE}"


class IndexDamaged(StoreDamaged):
    """A file of the index cannot be used; the log has all that it held, so that the index can be made anew."""


class SnapshotDamaged(StoreDamaged):
    """Bytes of a file with a snapshot, or of a backup, are not what was written; the text names the file."""

    advice = "save it again, or use another one"

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(text)
        self.path = path
        """The file that the text names; empty while it names none."""


class StoreTooNew(BrainctlError):
    """A later build wrote the store, in a format that this one does not know; nothing of it was touched."""

    exit_code = ExitCode.UNSUPPORTED
    advice = "go on with that build, or `snapshot save` with it what this one is to `snapshot restore`"


class StoreFull(BrainctlError):
    """The file system under the store has no room left; nothing acknowledged is lost."""

    exit_code = ExitCode.NO_SPACE
    advice = f"nothing that was acknowledged is lost: {_SPACE}"


class StoreFailed(BrainctlError):
    """The store met an I/O error on its durable path and has stopped; what was acknowledged is kept."""

    exit_code = ExitCode.IO
    advice = START_AGAIN


class UnknownOutcome(BrainctlError):
    """The change may or may not have happened, and could not be settled."""

    exit_code = ExitCode.UNKNOWN_OUTCOME
    passing = True


class Fenced(BrainctlError):
    """Another writer has taken over; this one must stop."""

    exit_code = ExitCode.FENCED


class StoreWentBack(Fenced):
    """The store has lost commits that it had acknowledged; this process must stop."""

    exit_code = ExitCode.DAMAGED


class NotEmpty(BrainctlError):
    """The target holds data already."""

    exit_code = ExitCode.NOT_EMPTY


class ListenFailed(BrainctlError):
    """The server cannot listen at the address that it was given."""

    exit_code = ExitCode.LISTEN
