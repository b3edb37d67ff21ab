"""The surroundings of a running command: its settings, the store that it opens, the output that it shows."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from brainctl.cli import interrupt, streams
from brainctl.cli.settings import FORMATS, Settings
from brainctl.errors import Unsupported

if TYPE_CHECKING:
    from brainctl.output.answers import Answer, Style
    from brainctl.stores.etcd.target import EtcdTarget
    from brainctl.stores.store import Store
    from brainctl.stores.unfinished import Admission

ETCDCTL = "etcdctl"
"""The name under which this is etcdctl for scripts that read its JSON."""
SECRETS = frozenset(("password", "auth_jwt_token", "user"))


class _Format(Protocol):
    def render(self, answer: "Answer", style: "Style") -> bytes:
        """Return the bytes of an answer."""


@dataclass(frozen=True, slots=True)
class Session:
    """One run of one command."""

    settings: Settings
    argv: tuple[str, ...]
    """The whole command line, as it was given."""
    program: str = "brainctl"
    """The name under which it was called."""
    _warned: set[str] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        """Check the output format, and with --debug show the settings.

        Raises:
            Unsupported: there is no such output format.
        """
        if self.settings.write_out not in FORMATS:
            raise Unsupported("unsupported output format")
        if self.settings.debug:
            for name, value in asdict(self.settings).items():
                self.warn(f"{name.removeprefix('named_')}={'***' if name in SECRETS and value else value}")

    def show(self, answer: "Answer", *, value_only: bool = False) -> None:
        """Write an answer to standard output in the format that was requested, and flush it."""
        from brainctl.output.answers import Style

        module: _Format = import_module(f"brainctl.output.{self.settings.write_out}")
        self.write(module.render(answer, Style(self.settings.hex, value_only, numbers=self._has_numbers)))

    @property
    def _has_numbers(self) -> bool:
        """Return whether JSON shows 64-bit integers as numbers.

        Without --numbers it does where this program is called as etcdctl.
        """
        return self.settings.numbers == "int" or (not self.settings.numbers and self.program == ETCDCTL)

    def write(self, data: bytes) -> None:
        """Write bytes to standard output at once."""
        streams.write(data)

    def say(self, line: str) -> None:
        """Write a line to standard output, whatever the format."""
        self.write(line.encode(errors="surrogateescape") + b"\n")

    def warn(self, line: str) -> None:
        """Write a line to standard error."""
        streams.complain(line)

    @asynccontextmanager
    async def open(
        self, url: str = "", endpoint: str = "", admission: "Admission | None" = None
    ) -> AsyncIterator["Store"]:
        """Open a store for the block, and close it at the end.

        Args:
            url: the store; without it the one that --store or --endpoints names.
            endpoint: one member, to be asked alone.
            admission: what to do with an unfinished copy; without it, it is read and not changed.
        """
        from brainctl.stores.registry import open_store

        url = url or ("" if endpoint else self.settings.store)
        store = await open_store(url, self.reach(endpoint, elsewhere=bool(url)), admission=admission or self.admission)
        try:
            yield store
        finally:
            await store.close()

    @property
    def admission(self) -> "Admission":
        """Return what to do with a store into which a migration has not finished its copy."""
        from brainctl.stores.unfinished import Admission

        return Admission(self.settings.even_unfinished, self.warn)

    @property
    def copying(self) -> "Admission":
        """Return what to do with such a store when another one is made of it."""
        return self.admission._replace(copying=True)

    def reach(self, endpoint: str = "", *, elsewhere: bool = False) -> Callable[[], "EtcdTarget"]:
        """Return what says how to reach a server, for a store that may be one: only then a password is requested.

        What is wrong with a context or a file of certificates is said in any case.

        Args:
            endpoint: one member, to be asked alone.
            elsewhere: the endpoints are those of a URL.

        Raises:
            BadArguments: a file of certificates cannot be read.
        """
        settings = self.settings
        unread = settings.warning or settings.problem
        if unread and unread not in self._warned:
            self._warned.add(unread)
            self.warn(f"warning: going on without the context: {unread}")
        self.require_tls_files()
        return lambda: self._target(endpoint, elsewhere=elsewhere)

    def target(self) -> "EtcdTarget":
        """Return how to reach the endpoints of the settings."""
        return self.reach()()

    def _target(self, endpoint: str, *, elsewhere: bool) -> "EtcdTarget":
        from brainctl.stores.etcd.target import MAX_RECEIVE_BYTES, MAX_SEND_BYTES, EtcdTarget, Tls

        settings = self.settings
        user, password = self._credentials()
        return EtcdTarget(
            endpoints=(endpoint,) if endpoint else settings.named_endpoints if elsewhere else settings.endpoints,
            tls=Tls(
                settings.cert,
                settings.key,
                settings.cacert,
                required=not settings.insecure_transport,
                unverified=settings.insecure_skip_tls_verify,
            ),
            user=user,
            password=password,
            token=settings.auth_jwt_token,
            dial_timeout=settings.dial_timeout,
            command_timeout=settings.command_timeout,
            keepalive_time=settings.keepalive_time,
            keepalive_timeout=settings.keepalive_timeout,
            max_send=settings.max_request_bytes or MAX_SEND_BYTES,
            max_receive=settings.max_recv_bytes or MAX_RECEIVE_BYTES,
        )

    def require_tls_files(self) -> None:
        """Look at the files of --cacert, --cert and --key before anything is connected, wherever it leads, as etcdctl.

        Raises:
            BadArguments: One cannot be read, or a certificate lacks its key.
        """
        settings = self.settings
        if settings.cert or settings.key or settings.cacert:
            from brainctl.stores.contexts import require_files
            from brainctl.stores.etcd.target import Tls

            require_files(Tls(settings.cert, settings.key, settings.cacert))

    def _credentials(self) -> tuple[str, str]:
        settings = self.settings
        if settings.auth_jwt_token or not settings.user:
            return "", ""
        if settings.password:
            return settings.user, settings.password
        user, colon, password = settings.user.partition(":")
        if colon:
            return user, password
        return user, self.ask("Password: ")

    def ask(self, question: str) -> str:
        """Return what a person answers at the terminal, which does not show it."""
        from getpass import getpass

        with interrupt.asking():
            return getpass(question)
