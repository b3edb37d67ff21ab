"""With --client-cert-auth the common name of a verified certificate is a user, in `brainctl serve` and in etcd."""

from collections.abc import Iterator

import pytest

from brainctl.etcdpb import auth_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from tests.peers.process import accepts
from tests.peers.servers import Brainctl, Etcd
from tests.support.rbac import KV, READ, admin, enable, grant, token_of
from tests.support.rpc import Refused, Remote
from tests.unit.server.test_tls import Authority, credentials_of

WATCH = "/etcdserverpb.Watch/Watch"


class TlsEtcd(Etcd):
    """An etcd whose clients speak TLS."""

    def argv(self) -> list[str]:
        client = f"http://{self.endpoint}"
        return [argument.replace(client, f"https://{self.endpoint}") for argument in super().argv()]

    def ready(self) -> bool:
        return accepts(self.port)


class Scene:
    """A server that takes only clients with certificates."""

    def __init__(self, server: Brainctl | Etcd, authority: Authority) -> None:
        self._endpoint = f"localhost:{server.port}"
        self._authority = authority
        self._remotes: dict[str, Remote] = {}
        alice = self.client("alice")
        alice.call(KV + "Put", pb.PutRequest(key=b"foo"))
        grant(alice, "reads-foo", READ, b"foo")
        options = auth_pb2.UserAddOptions(no_password=True)
        admin(alice, "UserAdd", pb.AuthUserAddRequest(name="alice", options=options))
        admin(alice, "UserGrantRole", pb.AuthUserGrantRoleRequest(user="alice", role="reads-foo"))
        self.root = enable(alice)

    def client(self, name: str) -> Remote:
        """A client whose certificate has this common name."""
        if name not in self._remotes:
            credentials = credentials_of(self._authority.file, self._authority.issue(name))
            self._remotes[name] = Remote(self._endpoint, credentials)
        return self._remotes[name]

    def close(self) -> None:
        for remote in self._remotes.values():
            remote.close()


@pytest.fixture(scope="module", params=["brainctl", "etcd"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp(request.param)
    authority = Authority(directory, "authority")
    cert, key = authority.issue("server")
    flags = [f"--cert-file={cert}", f"--key-file={key}", f"--trusted-ca-file={authority.file}", "--client-cert-auth"]
    with (Brainctl if request.param == "brainctl" else TlsEtcd)(directory / "server", *flags) as server:
        scene = Scene(server, authority)
        yield scene
        scene.close()


def text(client: Remote, key: bytes, token: str | None = None) -> str:
    try:
        client.call(KV + "Range", pb.RangeRequest(key=key), token)
    except Refused as refused:
        return refused.text
    return "ok"


def test_a_certificate_is_worth_what_its_user_may_do(scene: Scene) -> None:
    denied = "etcdserver: permission denied"
    assert text(scene.client("alice"), b"foo") == "ok"
    assert text(scene.client("alice"), b"bar") == denied
    assert text(scene.client("nobody"), b"foo") == denied
    assert text(scene.client("root"), b"bar") == "ok"


def test_a_watch_is_that_of_the_user_of_the_certificate(scene: Scene) -> None:
    for key, allowed in ((b"foo", True), (b"bar", False)):
        create = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=key))
        (created,) = scene.client("alice").stream(WATCH, [create], 1)
        assert created.canceled is not allowed


def test_a_token_goes_before_the_certificate(scene: Scene) -> None:
    assert text(scene.client("alice"), b"bar", scene.root) == "ok"
    assert text(scene.client("root"), b"bar", "NotAToken.1") == "etcdserver: invalid auth token"
    assert token_of(scene.client("nobody"), "root", "rootpw")
