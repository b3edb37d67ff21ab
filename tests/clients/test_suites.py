"""The test suites that client packages carry, run against brainctl and against etcd.

They are built by tests/peers/suites.py. What is left out, and why, is beside each.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import require
from tests.peers.servers import Brainctl, Etcd, Server, etcdctl
from tests.support.suites import WHOLE, minutes

FLAGS = ("--auth-token-ttl", "2", "--max-request-bytes", "10240")
"""What the tests of etcd-client expect."""
PYTHON_ETCD3 = (
    # needs other members, started by a tool
    *("test_get_key_serializable", "test_get_prefix_serializable", "test_member_list"),
    # the lock of python-etcd3 calls tenacity as versions did that no longer install
    *("test_lock_acquire", "test_lock_acquire_none", "test_lock_contended", "test_lock_double_acquire_release"),
    # asks etcdctl for the status of a snapshot, which etcdutl gives since etcd 3.6
    "test_snapshot",
)
"""Tests that python-etcd3 fails against etcd 3.7 too."""
AETCD = ("test_snapshot",)
"""The same of aetcd."""
PYTEST = ("-q", "-p", "no:cacheprovider", "-W", "ignore")

RUST = ("test_cluster",)
"""It wants three members, and a fourth that is started while it runs."""
ASLEEP = ("test_auth_refresh_token",)
"""Half a minute of waiting for the ends of tokens: whole suites only. What else has this in its name runs."""


@pytest.fixture(params=[Etcd, Brainctl])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that a suite has for itself; with etcd the suite is proved."""
    with request.param(tmp_path, *FLAGS) as server:
        yield server


def run(server: Server, *argv: str, **environment: str) -> str:
    where = {f"{name}_ETCD_HTTP_URL": f"http://{server.endpoint}" for name in ("PYTHON", "TEST")}
    path = f"{require('etcdctl').parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        argv,
        env=os.environ | where | {"ETCD_ENDPOINT": server.endpoint, "PATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def test_etcd_client_of_rust(server: Server) -> None:
    for arguments in (("user", "add", "root:rootpwd"), ("user", "grant-role", "root", "root")):
        assert etcdctl(server.endpoint, *arguments).returncode == 0
    suite = require("rust-suite")
    listed = run(server, str(suite / "client"), "--list", "--include-ignored")
    names = set(re.findall(r"(?m)^(\w+): test$", listed)) - {*RUST, *(() if WHOLE else ASLEEP)}
    flags = ("--test-threads", "1", "--include-ignored")
    output = run(server, str(suite / "client"), *flags, "--exact", *sorted(names))
    output += run(server, str(suite / "namespace"), *flags)
    assert f"{27 if WHOLE else 26} passed; 0 failed" in output
    assert "1 passed; 0 failed" in output


@minutes
def test_python_etcd3(server: Server) -> None:
    place = require("python-etcd3")
    run(
        server,
        *(str(place / "bin/python"), "-m", "pytest", *PYTEST, "--hypothesis-seed", "1"),
        *(str(place / "suite/test_etcd3.py"), "-k", _without(PYTHON_ETCD3, "(TestEtcd3 or TestAlarms)")),
        PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python",
        TEST_ETCD_VERSION="v3.7.3",
    )


@minutes
def test_aetcd(server: Server) -> None:
    place = require("python-aetcd")
    flags = ("-o", "asyncio_mode=auto", "-k", _without(AETCD, ""))
    run(server, str(place / "bin/python"), "-m", "pytest", *PYTEST, *flags, str(place / "suite"))


def _without(tests: tuple[str, ...], chosen: str) -> str:
    """The expression of pytest's -k that leaves tests out."""
    return " and ".join([*([chosen] if chosen else []), *(f"not {test}" for test in tests)])
