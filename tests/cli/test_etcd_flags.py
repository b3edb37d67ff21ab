"""A command line, an environment or a file that was written for etcd starts a server, or is refused with a reason."""

import json
import re
import ssl
import subprocess
import sys
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import pytest

from brainctl.cli import etcdctl_dialect
from brainctl.cli.etcd_flags import KINDS, REFUSED
from brainctl.cli.serve_flags import FLAGS
from brainctl.cli.settings import Kind
from brainctl.commands.serve.settings import ServeSettings
from brainctl.errors import BadArguments, BrainctlError
from tests.conftest import NewBrainctl
from tests.peers import require
from tests.peers.certificates import Authority
from tests.peers.ports import free_port
from tests.peers.servers import Brainctl, brainctl, clean_environment, etcdctl

SERVED = {flag.name: flag.kind for flag in FLAGS}


def test_every_flag_of_etcd_is_served_ignored_or_refused() -> None:
    """And those that etcd shows as true or false have no value behind a space."""
    done = subprocess.run([str(require("etcd")), "--help"], capture_output=True, text=True, timeout=60, check=False)
    shown = re.findall(r"(?m)^  --([a-z0-9][a-z0-9-]+)(?: '?([^'\n]*)'?)?$", done.stdout + done.stderr)
    assert len(shown) > 110
    ours = SERVED | KINDS
    assert [name for name, _ in shown if name not in ours] == []
    assert not set(SERVED) & set(KINDS), "served, and said to be ignored"
    truths = [name for name, default in shown if default in ("true", "false")]
    assert [name for name in truths if ours[name] is not Kind.BOOL] == []


def test_the_command_line_of_a_kubernetes_cluster(tmp_path: Path) -> None:
    """As kubeadm writes it, with flags of etcd 3.5 besides; health and metrics have a place of their own."""
    authority = Authority(tmp_path, "ca")
    cert, key = authority.issue("server")
    monitoring = free_port()
    flags = [
        *(
            "--cert-file",
            str(cert),
            f"--key-file={key}",
            "--client-cert-auth=true",
            f"--trusted-ca-file={authority.file}",
        ),
        *("--name=node-1", "--initial-advertise-peer-urls=https://10.0.0.1:2380", "-snapshot-count", "10000"),
        *("--initial-cluster=node-1=https://10.0.0.1:2380", "--initial-cluster-state", "new", "--logger", "zap"),
        *("--peer-cert-file=/absent", "--peer-key-file=/absent", "--peer-client-cert-auth=true", "--auto-tls=false"),
        *("--listen-peer-urls=https://10.0.0.1:2380", f"--listen-metrics-urls=http://127.0.0.1:{monitoring}"),
        *("--feature-gates=InitialCorruptCheck=true", "--experimental-initial-corrupt-check=true", "--enable-pprof"),
        *("--experimental-watch-progress-notify-interval=5s", "-log-level", "info"),
    ]
    with Brainctl(tmp_path / "brainctl", *flags) as server:
        client = authority.issue("root")
        tls = ("--cacert", str(authority.file), "--cert", str(client[0]), "--key", str(client[1]))
        listed = etcdctl(f"https://{server.endpoint}", *tls, "member", "list")
        assert "started, node-1, https://10.0.0.1:2380, https://127.0.0.1" in listed.stdout, listed.stderr
        found = {
            path: page(monitoring, path) for path in ("/health", "/metrics", "/readyz/linearizable_read", "/livez")
        }
        assert found == dict.fromkeys(found, 200)
        assert [page(monitoring, path) for path in ("/version", "/v3/kv/range", "/debug/wear")] == [404, 404, 404]
        assert server.child is not None
        [warning] = [line for line in server.child.output().splitlines() if line.startswith("warning: ")]
    assert warning == (
        "warning: ignored, since brainctl has nothing that they could set: --snapshot-count, --initial-cluster, "
        "--initial-cluster-state, --logger, --peer-cert-file, --peer-key-file, --peer-client-cert-auth, "
        "--listen-peer-urls, --feature-gates, --experimental-initial-corrupt-check, --enable-pprof"
    )


def page(port: int, path: str, context: ssl.SSLContext | None = None) -> int:
    connection = (
        HTTPConnection("localhost", port, timeout=120)
        if context is None
        else HTTPSConnection("localhost", port, timeout=120, context=context)
    )
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    return status


def test_metrics_over_tls_ask_for_the_certificates_that_clients_need(tmp_path: Path, new_brainctl: NewBrainctl) -> None:
    authority = Authority(tmp_path, "ca")
    cert, key = map(str, authority.issue("server"))
    monitoring = free_port()
    flags = ("--cert-file", cert, "--key-file", key, "--trusted-ca-file", str(authority.file))
    new_brainctl(*flags, "--listen-metrics-urls", f"https://127.0.0.1:{monitoring}")
    context = ssl.create_default_context(cafile=str(authority.file))
    context.set_alpn_protocols(["h2", "http/1.1"])  # as Prometheus, which then speaks what was chosen
    with pytest.raises((ssl.SSLError, ConnectionError)):
        page(monitoring, "/metrics", context)
    context.load_cert_chain(*authority.issue("prometheus"))
    assert page(monitoring, "/metrics", context) == 200


def test_plain_text_beside_tls(tmp_path: Path) -> None:
    """Each URL says what it serves; --listen-client-http-urls are more of them."""
    authority = Authority(tmp_path, "ca")
    plain, more = free_port(), free_port()
    flags = [f"--listen-client-urls=https://127.0.0.1:0,http://127.0.0.1:{plain}"]
    server = Brainctl(tmp_path / "brainctl", authority=authority)
    flags.append(f"--listen-client-http-urls=https://127.0.0.1:{more}")
    argv = [*server.argv(), *flags]
    server.argv = lambda: argv  # type: ignore[method-assign]
    server.port = plain
    with server:
        assert page(plain, "/health") == 200
        assert page(more, "/health", ssl.create_default_context(cafile=str(authority.file))) == 200
        listed = etcdctl(f"127.0.0.1:{plain}", "member", "list").stdout
        assert re.search(
            rf"http://localhost:2380, https://127.0.0.1:\d+,http://127.0.0.1:{plain},https://127.0.0.1:{more},", listed
        )


def test_without_the_gateway_there_are_pages_and_grpc(new_brainctl: NewBrainctl) -> None:
    server = new_brainctl("--enable-grpc-gateway=false")
    connection = HTTPConnection(server.endpoint, timeout=120)
    connection.request("POST", "/v3/kv/range", '{"key": "AA=="}')
    assert connection.getresponse().status == 404
    connection.close()
    assert page(server.port, "/health") == 200
    assert etcdctl(server.endpoint, "put", "k", "v").stdout == "OK\n"


VALUES = {
    "auto-tls": "true",
    "discovery": "http://127.0.0.1/token",
    "discovery-endpoints": "http://127.0.0.1:2379",
    "discovery-srv": "etcd.example",
    "discovery-token": "token",
    "force-new-cluster": "true",
    "initial-cluster": "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380",
    "unsafe-no-fsync": "1",
}
HARMLESS = {"initial-cluster": "a=http://10.0.0.1:2380,a=http://10.0.0.2:2380"}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_a_promise_is_refused_wherever_it_is_said(name: str, tmp_path: Path) -> None:
    variable = f"ETCD_{name.upper().replace('-', '_')}"
    file = tmp_path / "file.toml"
    file.write_text(f"{name} = {json.dumps(VALUES[name])}\n")
    sayings: list[tuple[list[str], dict[str, str], dict[str, str | bool | None], str]] = [
        ([f"{name}={VALUES[name]}"], {}, {}, f"--{name}"),
        ([], {variable: VALUES[name]}, {}, variable),
        ([], {}, {"config_file": str(file)}, f"{name} in {file}"),
    ]
    for etcd, environ, given, origin in sayings:
        with pytest.raises(BadArguments, match=f"^{re.escape(origin)} is refused: .+") as refused:
            ServeSettings(given, environ, etcd)
        assert "\n" not in str(refused.value)
    harmless = HARMLESS.get(name, "false" if KINDS[name] is Kind.BOOL else "")
    ServeSettings({}, {}, [f"{name}={harmless}"])


def test_a_refusal_ends_the_command_before_it_touches_anything(tmp_path: Path) -> None:
    done = brainctl("serve", "--data-dir", str(tmp_path / "data"), "--unsafe-no-fsync")
    assert (done.returncode, done.stderr.count("\n")) == (128, 1)
    assert done.stderr.startswith("Error: --unsafe-no-fsync is refused: ")
    assert not (tmp_path / "data").exists()


def test_the_environment_of_a_unit_of_systemd() -> None:
    environ = {
        "ETCD_NAME": "node-1",
        "ETCD_LISTEN_PEER_URLS": "http://10.0.0.1:2380",
        "ETCD_INITIAL_CLUSTER": "node-1=http://10.0.0.1:2380",
        "ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK": "true",
        "ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL": "5s",
        "ETCD_HEARTBEAT_INTERVAL": "",
        "ETCD_QUOTA_BACKEND_BYTE": "1",
        "ETCD_SERVICE_HOST": "10.96.0.7",
        "ETCD_CLIENT_SERVICE_PORT_HTTP": "2379",
        "ETCD_PORT_2379_TCP_ADDR": "10.96.0.7",
    }
    settings = ServeSettings({}, environ)
    assert settings.text("name") == "node-1"
    assert settings.seconds("watch-progress-notify-interval") == 5
    ignored, unknown = settings.remarks
    assert ignored.endswith(": ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK, ETCD_INITIAL_CLUSTER, ETCD_LISTEN_PEER_URLS")
    assert unknown == "no setting of etcd or brainctl: ETCD_QUOTA_BACKEND_BYTE"


def test_a_file_may_have_them_too(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(
        'name = "n"\nheartbeat-interval = 100\nexperimental-watch-progress-notify-interval = "7s"\npre-vote = true\n'
    )
    settings = ServeSettings({"config_file": str(file)}, {})
    assert settings.seconds("watch-progress-notify-interval") == 7
    assert settings.remarks[0].endswith(f": heartbeat-interval in {file}, pre-vote in {file}")


@pytest.mark.parametrize(
    ("argv", "translated"),
    [
        (["-name", "n"], ["--name", "n"]),
        (["-name=n"], ["--name=n"]),
        (["--heartbeat-interval", "100"], ["--etcd-setting", "heartbeat-interval=100"]),
        (["-heartbeat-interval=100", "-w", "json"], ["--etcd-setting", "heartbeat-interval=100", "-w", "json"]),
        (["--pre-vote", "--name", "n"], ["--etcd-setting", "pre-vote=true", "--name", "n"]),
        (["--pre-vote=false"], ["--etcd-setting", "pre-vote=false"]),
        (["--experimental-max-learners", "2"], ["--etcd-setting", "experimental-max-learners=2"]),
        (["--experimental-watch-progress-notify-interval=5s"], ["--watch-progress-notify-interval=5s"]),
        (
            ["--client-cert-auth=true", "--enable-grpc-gateway=false"],
            ["--client-cert-auth", "--no-enable-grpc-gateway"],
        ),
        (["--", "--pre-vote"], ["--", "--pre-vote"]),
    ],
)
def test_flags_as_go_reads_them(argv: list[str], translated: list[str]) -> None:
    assert etcdctl_dialect.translate(["serve", *argv]) == ["serve", *translated]


def test_other_commands_know_nothing_of_them() -> None:
    assert etcdctl_dialect.translate(["get", "--pre-vote"]) == ["get", "--pre-vote"]


@pytest.mark.parametrize(
    ("word", "code"), [("--pre-vote=perhaps", 1), ("--heartbeat-interval", 1), ("--log-level=loud", 128)]
)
def test_values_that_cannot_be_read_are_refused(word: str, code: int, tmp_path: Path) -> None:
    done = brainctl("serve", "--data-dir", str(tmp_path / "data"), word)
    assert done.returncode == code, done.stderr
    assert word.partition("=")[0] in done.stderr


@pytest.mark.parametrize("url", ["10.0.0.1:2380", "http://10.0.0.1", "unix:peer"])
def test_peer_urls_are_urls(url: str) -> None:
    from brainctl.commands.serve import command

    with pytest.raises(BrainctlError, match="--initial-advertise-peer-urls"):
        command.parse(data_dir="d", initial_advertise_peer_urls=url)


LOG = """
import logging
from brainctl.commands.serve.log import start_log
start_log({level!r}, {form!r})
log = logging.getLogger("brainctl.here")
for name in ("debug", "info", "warning", "error", "critical"):
    getattr(log, name)("an entry of %s", name)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("it failed")
"""


def logged(level: str, form: str) -> list[str]:
    argv = [sys.executable, "-c", LOG.format(level=level, form=form)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, env=clean_environment(), check=True)
    return done.stderr.splitlines()


@pytest.mark.parametrize(
    ("level", "levels"),
    [("debug", ["debug", "info", "warn", "error", "fatal", "error"]), ("panic", ["fatal"])],
)
def test_the_log_has_levels_and_may_be_json(level: str, levels: list[str]) -> None:
    entries = [json.loads(line) for line in logged(level, "json")]
    assert [entry["level"] for entry in entries] == levels
    assert entries[-1]["msg"] in ("it failed", "an entry of critical")
    assert ("ZeroDivisionError" in entries[-1].get("stacktrace", "")) is (level == "debug")
    if level == "panic":
        console = logged(level, "console")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z fatal an entry of critical", console[0])
