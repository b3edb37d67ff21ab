"""What an operator reads when TiKV fails: what happened, where, and what to do, a text for each cause."""

import asyncio
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from brainctl.errors import TIMEOUT, BrainctlError, ExitCode, Fenced, StoreWentBack
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.server.status import status_of
from brainctl.stores.tikv import open_tikv
from brainctl.tikv.backend import TikvBackend
from brainctl.tikv.client import open_client
from brainctl.tikv.client.package_texts import cause, translate
from brainctl.tikv.errors import NOT_WRITTEN, Failure, RequestFailed, TikvFailed
from brainctl.tikv.key_codec import Layout
from brainctl.tikv.leadership import NotWritten
from brainctl.tikv.replica import ReplicaWriter
from brainctl.tikv.value_codec import Head
from tests.peers.ports import free_port
from tests.peers.servers import Brainctl, Etcd, Playground, brainctl, clean_environment
from tests.unit.tikv.calls import put
from tests.unit.tikv.conftest import OpenBackend
from tests.unit.tikv.test_errors import RECORDED

RUST = re.compile(r"\.rs\b|/root\b|cargo|rust|panick|Some\(|Error \{|KeyError|backtrace|tikv_client", re.IGNORECASE)


@pytest.mark.parametrize(("text", "failure"), RECORDED)
@pytest.mark.parametrize("outcome", ["", "nothing was written"])
def test_a_failure_is_told_without_the_clients_words(text: str, failure: Failure, outcome: str) -> None:
    failed = translate(Exception(text), "10.0.0.9:2379")
    said = str(NotWritten.of(failed) if outcome else failed)
    assert said.startswith("TiKV at 10.0.0.9:2379: ")
    assert outcome in said
    assert said.endswith(failure.value)
    assert not RUST.search(said), said
    assert "nothing is known" not in said


def test_causes_have_texts_of_their_own() -> None:
    told = {text: cause(text)[1] for text, _ in RECORDED if text}
    same = {"Failed to resolve lock", "PessimisticLock", "gRPC api error: status: Unavailable", "Cannot read", "a text"}
    assert len(set(told.values())) >= len(told) - len(same)
    assert cause('disk_full: Some(DiskFull { store_id: [1], reason: "disk full" })')[0] is Failure.DISK_FULL
    assert cause('retryable: "", abort: "invalid marker byte"')[1].endswith(": invalid marker byte")
    assert TikvFailed(Failure.DISK_FULL, "full").exit_code == ExitCode.NO_SPACE
    assert Failure.DISK_FULL not in NOT_WRITTEN
    assert cause('status: Unknown, message: "h2 protocol error: broken pipe"')[1].endswith(
        "h2 protocol error: broken pipe"
    )


async def set_head(tikv: Playground, prefix: str, **changes: int) -> None:
    """Make the store stand at another head, as a restored backup or another process would."""
    client, layout = open_client([tikv.endpoint]), Layout(prefix)
    transaction = await client.begin()
    head = Head.unpack((await transaction.get([layout.head]))[layout.head])
    moved = {name: getattr(head, name) + by for name, by in changes.items()}
    lanes = {layout.lane(number): (head.epoch + changes.get("epoch", 0)).to_bytes(8) for number in range(4)}
    await transaction.commit({layout.head: head._replace(**moved).pack(), **(lanes if "epoch" in changes else {})})
    await client.close()


LOST = [
    ({"epoch": 1, "sequence": 1}, Fenced, "another process has taken over the store"),
    ({"epoch": -1, "sequence": -1}, StoreWentBack, "has lost writes that TiKV had acknowledged"),
    ({"sequence": -1}, StoreWentBack, "has lost writes that TiKV had acknowledged"),
    ({"sequence": 5}, Fenced, "a write that TiKV had reported as failed has happened after all"),
]


@pytest.mark.parametrize(("changes", "kind", "sentence"), LOST)
def test_why_a_server_must_stop(
    tikv: Playground, prefix: str, backend_of: OpenBackend, changes: dict[str, int], kind: type, sentence: str
) -> None:
    async def run() -> None:
        async with backend_of() as backend:
            failures: list[BrainctlError] = []
            backend.on_failure = failures.append
            await put(backend, b"k")
            async with backend.writer.busy:
                await set_head(tikv, prefix, **changes)
            with pytest.raises(kind) as refused:
                await put(backend, b"k")
            assert type(refused.value) is kind
            assert sentence in str(refused.value)
            assert repr(prefix) in str(refused.value)
            assert tikv.endpoint in str(refused.value)
            assert failures == [refused.value]
            assert refused.value.exit_code == (ExitCode.DAMAGED if kind is StoreWentBack else ExitCode.FENCED)
            assert status_of(refused.value).message == str(refused.value)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("changes", "kind", "sentence", "bulk"), [(*row, False) for row in LOST] + [(*row, True) for row in LOST[:2]]
)
def test_why_a_migration_must_stop(  # bulk writes look at the epoch alone
    tikv: Playground, prefix: str, changes: dict[str, int], kind: type, sentence: str, bulk: bool
) -> None:
    async def run() -> None:
        layout = Layout(prefix)
        writer = ReplicaWriter(open_client([tikv.endpoint]), layout)
        await writer.take_over()
        await writer.write({b"r": b"1"})
        await set_head(tikv, prefix, **changes)
        with pytest.raises(kind) as refused:
            await (writer.reset([], {}) if bulk else writer.write({b"r": b"2"}))
        assert type(refused.value) is kind
        assert sentence in str(refused.value)
        await writer.close()

    asyncio.run(run())


def test_a_store_that_is_away_is_named_by_every_command(etcd: Etcd) -> None:
    """In a process of its own each, since the client's runtime writes to file descriptor 2."""
    address = f"127.0.0.1:{free_port()}"
    url, other = f"tikv://{address}/gone", f"etcd://{etcd.endpoint}"
    commands = [
        ("get", "k", "--store", url),
        ("put", "k", "v", "--store", url),
        ("serve", "--store", url, "--listen", "127.0.0.1:0"),
        ("verify", "--from", other, "--to", url),
        ("migrate", "--from", other, "--to", url, "--retry-for", "1s"),
    ]

    def run(arguments: tuple[str, ...]) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "brainctl", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=clean_environment() | {"RUST_BACKTRACE": "1"},
        )
        lines = [line for line in done.stderr.splitlines() if not line.startswith('{"kind":"')]
        assert not RUST.search(done.stderr), done.stderr
        return done.returncode, "\n".join(lines)

    with ThreadPoolExecutor(len(commands)) as threads:
        found = list(threads.map(run, commands))
    sentence = f"TiKV at {address}: its Placement Driver does not answer; {Failure.UNAVAILABLE.value}"
    *others, migrate = found
    assert others == [(ExitCode.CONNECTION, f"Error: {sentence}")] * len(others)
    # A migration says for how long it has waited, too.
    assert migrate[0] == ExitCode.CONNECTION
    assert re.fullmatch(f"Error: the target {url} has been away for [0-9]+ s .*: {re.escape(sentence)}", migrate[1])


def test_a_request_to_an_open_store_tells_the_cause(
    tikv: Playground, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        store = await open_tikv(tikv.url(prefix))
        backend = store.node.backend
        assert isinstance(backend, TikvBackend)

        async def fail(*_: object) -> None:
            raise TikvFailed(Failure.DISK_FULL, "one of its servers is full", tikv.endpoint)

        with monkeypatch.context() as patched:
            patched.setattr(backend._reads, "state", fail)
            with pytest.raises(RequestFailed) as refused:
                await store.range(pb.RangeRequest(key=b"k"))
        await store.close()
        assert str(refused.value) == f"TiKV at {tikv.endpoint}: one of its servers is full; give it space"
        assert (refused.value.status, refused.value.exit_code) == (TIMEOUT, ExitCode.NO_SPACE)

    asyncio.run(run())


DIVERTED = """
import logging, os, sys, threading
from brainctl.tikv.client.panics import divert_panics
logging.basicConfig(format="%(message)s")
divert_panics()
divert_panics()
os.write(2, b"thread 'w' panicked at /build/.cargo/x.rs:1:2:\\ncalled `unwrap()`\\nstack backtrace:\\n   0: main\\n")
print("said", file=sys.stderr)
logging.warning("logged")
if sys.stderr.fileno() != 2:
    os.dup2(sys.stderr.fileno(), 2)
[thread.join() for thread in threading.enumerate() if thread.name == "panics"]
"""


@pytest.mark.parametrize(
    ("first", "debug", "expected"),
    [
        ("", "", ["said", "logged"]),
        ("os.write(2, b'malloc(): corrupted\\n')", "", ["said", "logged", "malloc(): corrupted"]),
        ("", "1", ["thread 'w' panicked", "called", "stack", "   0", "said", "logged"]),
    ],
)
def test_panics_are_kept_from_the_terminal(first: str, debug: str, expected: list[str]) -> None:
    script = DIVERTED.replace("divert_panics()\nos", f"divert_panics()\n{first}\nos")
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment() | {"BRAINCTL_DEBUG": debug},
    )
    lines = done.stderr.splitlines()
    assert len(lines) == len(expected), lines
    assert all(any(line.startswith(part) for line in lines) for part in expected), lines


@pytest.mark.slow
def test_a_server_outlives_its_cluster_without_a_word_of_rust(tmp_path: Path) -> None:
    with Playground(tmp_path / "cluster") as cluster, Brainctl(tmp_path, store=cluster.url("p")) as server:
        assert brainctl("put", "k", "v", "--endpoints", server.endpoint).returncode == 0
        cluster.kill()
        refused = brainctl("get", "k", "--endpoints", server.endpoint, "--command-timeout", "60s")
        assert refused.returncode, refused.stdout
        cluster.start()
        assert server.child is not None
        server.child.wait_until(
            lambda: brainctl("get", "k", "--endpoints", server.endpoint, "--command-timeout", "60s").returncode == 0,
            seconds=120,
        )
        said = server.child.output()
    assert f"TiKV at {cluster.endpoint}: " in said
    assert not RUST.search(said), said
