"""The Auth service: users, roles, permissions, and the identities behind tokens and certificates.

Changes are writes of small records, ordered with the writes of keys, and checked again where they are evaluated.
"""

import base64
import binascii
import logging
import secrets
from collections.abc import Callable
from functools import partial
from hmac import compare_digest
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from brainctl.errors import AUTH_FAILED, AUTH_NOT_ENABLED, INVALID_AUTH_TOKEN, ApiError, Code, Status
from brainctl.etcdpb import auth_pb2 as authpb
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.log import Fact
from brainctl.mvcc import auth
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.permission import ROLES, ROOT, STATE, USERS, Authority, Check, Identity, auth_state, user_record
from brainctl.node.access.passwords import TOO_SHORT, Passwords
from brainctl.node.access.tokens import Tokens, fingerprint
from brainctl.node.backend import Backend, Reply
from brainctl.node.handler import Handler, refusal
from brainctl.node.reply_guard import answering

_log = logging.getLogger(__name__)

NO_PASSWORD_USER = Status(Code.UNKNOWN, "auth: authentication failed, password was given for no password user")
"""The status for a password where the user has none, or for a hash that is not base64."""
SERVICE = "/etcdserverpb.Auth/"
"""The prefix of the paths of this service."""

UserHandler = Callable[[bytes, Reply, Identity | None], None]
"""Serves one unary method for the user who sent the request; None when the sender is unknown."""
_Request = TypeVar("_Request", bound=Message)
_Change = Callable[[Batch, Any], None]


class AuthService:
    """The methods of Auth over a backend, and the identities behind tokens and certificates."""

    def __init__(self, backend: Backend, tokens: Tokens, passwords: Passwords) -> None:
        self._backend = backend
        self._tokens = tokens
        self._passwords = passwords
        self._authority = Authority()
        self.process_token = secrets.token_hex(32)
        """The token with which this process calls itself; it has the rights of root."""
        self.enabled = auth_state(backend.record).enabled
        """Whether authentication is on, so that requests must be checked."""
        backend.subscribe(self._publish)

    def methods(self) -> dict[str, UserHandler]:
        """Return the methods by path."""
        changes: dict[str, tuple[type[Message], _Change]] = {
            "AuthEnable": (pb.AuthEnableRequest, lambda batch, _: auth.enable(batch)),
            "AuthDisable": (pb.AuthDisableRequest, lambda batch, _: auth.disable(batch)),
            "UserDelete": (pb.AuthUserDeleteRequest, self._delete_user),
            "UserGrantRole": (pb.AuthUserGrantRoleRequest, lambda batch, r: auth.grant_role(batch, r.user, r.role)),
            "UserRevokeRole": (pb.AuthUserRevokeRoleRequest, lambda batch, r: auth.revoke_role(batch, r.name, r.role)),
            "RoleAdd": (pb.AuthRoleAddRequest, lambda batch, r: auth.add_role(batch, r.name)),
            "RoleDelete": (pb.AuthRoleDeleteRequest, self._delete_role),
            "RoleGrantPermission": (pb.AuthRoleGrantPermissionRequest, auth.grant_permission),
            "RoleRevokePermission": (pb.AuthRoleRevokePermissionRequest, auth.revoke_permission),
        }
        methods: dict[str, UserHandler] = {
            name: partial(self._on_change, kind, change) for name, (kind, change) in changes.items()
        }
        methods |= {
            "AuthStatus": self.status,
            "Authenticate": self.authenticate,
            "UserAdd": self.user_add,
            "UserChangePassword": self.user_change_password,
            "UserGet": self.user_get,
            "UserList": self.user_list,
            "RoleGet": self.role_get,
            "RoleList": self.role_list,
        }
        return {SERVICE + name: method for name, method in methods.items()}

    @property
    def revision(self) -> int:
        """Return the durable auth revision."""
        return self._authority.state(self._backend.record).revision

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by path, for requests without a known sender."""
        return {path: _of_nobody(method) for path, method in self.methods().items()}

    # -- who is who ---------------------------------------------------------------------------------------------

    def identify(self, token: str | None, common_name: str | None) -> Identity | None:
        """Return the user of a token or, without a token, of a verified client certificate; None without either.

        Raises:
            ApiError: The token is unknown or has expired.
        """
        revision = self._authority.state(self._backend.record).revision
        if token is not None:
            found = self._tokens.identify(token.removeprefix("Bearer "), revision)
            if found is None and compare_digest(token.encode(), self.process_token.encode()):
                return Identity(ROOT, revision)
            if found is None:
                _log.warning(Fact("a request has an invalid token", token=fingerprint(token)))
                raise ApiError(INVALID_AUTH_TOKEN)
            return found
        return Identity(common_name, revision) if common_name else None

    def shown_to_peers(self, token: str | None, common_name: str | None, sign: Callable[[str, int], str]) -> str:
        """Return the token with which another instance knows the sender of a request; empty without a sender.

        Args:
            token: The sender's.
            common_name: That of the sender's verified certificate, which counts without a token.
            sign: Issues a token that all instances accept.

        Raises:
            ApiError: The sender cannot be told on.
        """
        revision = self._authority.state(self._backend.record).revision
        if token is not None and compare_digest(token.encode(), self.process_token.encode()):
            return sign(ROOT, revision)
        return token or (sign(common_name, revision) if common_name else "")

    def check(self, who: Identity | None) -> Check:
        """Return the checks of a request against the durable users and roles."""
        return self._authority.check(self._backend.record, who)

    def check_in(self, batch: Batch, who: Identity | None) -> Check:
        """Return the checks of a write against the users and roles as they are where it is evaluated."""
        return self._authority.check(batch.record, who)

    def _publish(self, commit: Commit) -> None:
        """Note whether a commit has switched authentication; when it is off, forget all tokens."""
        if STATE in commit.meta:
            self.enabled = auth_state(self._backend.record).enabled
            if not self.enabled:
                self._tokens.clear()

    def authenticate(self, body: bytes, reply: Reply, who: Identity | None) -> None:
        """Serve Auth.Authenticate: a token for a password."""
        del who
        request = _parse(pb.AuthenticateRequest, body, reply)
        if request is not None:
            self._backend.spawn(answering(self._authenticate(request.name, request.password, reply), reply))

    async def _authenticate(self, name: str, password: str, reply: Reply) -> None:
        """Compare the password, and reply with a token.

        The comparison takes tens of milliseconds on another thread. If users or roles have changed meanwhile, it is
        repeated.

        Raises:
            ApiError: Authentication is off, the password is wrong, the user has none, or too many wait.
        """
        backend = self._backend
        while True:
            state = auth_state(backend.record)
            if not state.enabled:
                raise ApiError(AUTH_NOT_ENABLED)
            record = backend.record(user_record(name))
            user = authpb.User.FromString(record) if record is not None else None
            if user is not None and user.options.no_password:
                raise ApiError(NO_PASSWORD_USER)
            if not await self._passwords.matches(password, user.password if user is not None else None):
                _log.warning(Fact("authentication failed: wrong password, or no such user", user=name))
                raise ApiError(AUTH_FAILED)
            if auth_state(backend.record) == state:
                break  # otherwise the user may have changed while the password was compared
        token = self._tokens.assign(name, state.revision)
        _log.debug(Fact("a token is assigned", user=name, token=fingerprint(token)))
        reply(self._answer(pb.AuthenticateResponse(token=token)))

    # -- changes ------------------------------------------------------------------------------------------------

    def _on_change(self, kind: type[Message], change: _Change, body: bytes, reply: Reply, who: Identity | None) -> None:
        request = _parse(kind, body, reply)
        if request is not None:
            self._submit(change, request, reply, who)

    def _submit(self, change: _Change, request: Message, reply: Reply, who: Identity | None) -> None:
        """Queue a change of users or roles; the sender must be an administrator where it is evaluated."""

        def evaluate(batch: Batch, request: Message) -> bytes:
            self.check_in(batch, who).admin()
            change(batch, request)
            return batch.header(batch.revision)

        self._backend.submit(evaluate, request, reply)

    def _delete_user(self, batch: Batch, request: pb.AuthUserDeleteRequest) -> None:
        auth.delete_user(batch, request.name)
        self._tokens.forget(request.name)

    def _delete_role(self, batch: Batch, request: pb.AuthRoleDeleteRequest) -> None:
        auth.delete_role(batch, request.role, {*self._backend.records(USERS), *batch.staged.record_names(USERS)})

    def user_add(self, body: bytes, reply: Reply, who: Identity | None) -> None:
        """Serve Auth.UserAdd: the password is hashed before the write is queued."""
        request = _parse(pb.AuthUserAddRequest, body, reply)
        if request is None:
            return

        def add(password: bytes) -> None:
            self._submit(lambda batch, _: auth.add_user(batch, request, password), request, reply, who)

        if request.options.no_password or not request.name:  # without a name it is refused anyway, so save the hash
            add(b"")
        else:
            self._backend.spawn(answering(self._hash_then(request.password, add, who), reply))

    def user_change_password(self, body: bytes, reply: Reply, who: Identity | None) -> None:
        """Serve Auth.UserChangePassword: the tokens of the user end with the old password."""
        request = _parse(pb.AuthUserChangePasswordRequest, body, reply)
        if request is None:
            return

        def change(password: bytes) -> None:
            def evaluate(batch: Batch, _: Message) -> None:
                if not password and not auth.find_user(batch.record, request.name).options.no_password:
                    raise ApiError(TOO_SHORT)
                auth.change_password(batch, request.name, password)
                self._tokens.forget(request.name)

            self._submit(evaluate, request, reply, who)

        if request.password:
            self._backend.spawn(answering(self._hash_then(request.password, change, who), reply))
            return
        try:
            change(base64.b64decode(request.hashedPassword, validate=True))
        except binascii.Error:
            reply(ApiError(NO_PASSWORD_USER))

    async def _hash_then(self, password: str, action: Callable[[bytes], None], who: Identity | None) -> None:
        """Hash a password on another thread, then call `action` with the hash.

        Raises:
            ApiError: The sender is no administrator, or the password is too short or too long.
        """
        self.check(who).admin()  # check first: a hash costs about 50 ms of a core
        action(await self._passwords.hashed(password))

    # -- questions ----------------------------------------------------------------------------------------------

    def status(self, body: bytes, reply: Reply, who: Identity | None) -> None:
        """Serve Auth.AuthStatus: everyone may see it."""
        del body, who
        state = auth_state(self._backend.record)
        reply(self._answer(pb.AuthStatusResponse(enabled=state.enabled, authRevision=state.revision)))

    def user_get(self, body: bytes, reply: Reply, who: Identity | None) -> None:
        """Serve Auth.UserGet: of oneself, or of anyone for root."""

        def answer(request: pb.AuthUserGetRequest) -> Message:
            if request.name != (who.user if who else ""):
                self.check(who).admin()
            return pb.AuthUserGetResponse(roles=auth.find_user(self._backend.record, request.name).roles)

        self._answer_with(answer, pb.AuthUserGetRequest, body, reply)

    def user_list(self, body: bytes, reply: Reply, who: Identity | None) -> None:
        """Serve Auth.UserList: for root."""

        def answer(_: pb.AuthUserListRequest) -> Message:
            self.check(who).admin()
            return pb.AuthUserListResponse(users=self._names(USERS))

        self._answer_with(answer, pb.AuthUserListRequest, body, reply)

    def role_get(self, body: bytes, reply: Reply, who: Identity | None) -> None:
        """Serve Auth.RoleGet: of a role that the sender has, or of any role for root."""

        def answer(request: pb.AuthRoleGetRequest) -> Message:
            if not self._has_role(who, request.role):
                self.check(who).admin()
            role = auth.find_role(self._backend.record, request.role)
            return pb.AuthRoleGetResponse(perm=auth.permissions_of(role))

        self._answer_with(answer, pb.AuthRoleGetRequest, body, reply)

    def role_list(self, body: bytes, reply: Reply, who: Identity | None) -> None:
        """Serve Auth.RoleList: for root."""

        def answer(_: pb.AuthRoleListRequest) -> Message:
            self.check(who).admin()
            return pb.AuthRoleListResponse(roles=self._names(ROLES))

        self._answer_with(answer, pb.AuthRoleListRequest, body, reply)

    def _has_role(self, who: Identity | None, role: str) -> bool:
        record = self._backend.record(user_record(who.user)) if who is not None else None
        return record is not None and role in authpb.User.FromString(record).roles

    def _names(self, prefix: bytes) -> list[str]:
        return sorted(name.removeprefix(prefix).decode() for name in self._backend.records(prefix))

    def _answer(self, response: Message) -> bytes:
        return self._backend.header(self._backend.revision) + response.SerializeToString()

    def _answer_with(
        self, answer: Callable[[_Request], Message], kind: type[_Request], body: bytes, reply: Reply
    ) -> None:
        """Parse a request and reply with the answer, or with the ApiError that it raises."""
        request = _parse(kind, body, reply)
        if request is None:
            return
        try:
            response = self._answer(answer(request))
        except ApiError as error:
            reply(error)
        else:
            reply(response)


def _of_nobody(method: UserHandler) -> Handler:
    """Return the handler of a method for requests without a known sender."""

    def handler(body: bytes, reply: Reply) -> None:
        method(body, reply, None)

    return handler


def _parse(kind: type[_Request], body: bytes, reply: Reply) -> _Request | None:
    """Return the parsed request; None after replying that it is malformed."""
    try:
        return kind.FromString(body)
    except DecodeError as error:
        reply(refusal(error))
        return None
