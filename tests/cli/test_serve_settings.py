"""Where the settings of a server come from, and what is said about those that are wrong."""

import configparser
import inspect
import os
import re
import shutil
import socket
import subprocess
import tomllib
from pathlib import Path

import pytest
from typer.core import TyperCommand

from brainctl.cli.etcdctl_dialect import translate
from brainctl.cli.main import load
from brainctl.cli.serve_flags import CONFIG_FILE, ETCD_SETTING, FLAGS, ServeFlag
from brainctl.cli.settings import Kind
from brainctl.commands.serve import command as serve
from brainctl.commands.serve import places
from brainctl.commands.serve.cluster import lease_of, name_of, role_of
from brainctl.commands.serve.settings import ServeSettings
from brainctl.errors import BadArguments, BrainctlError, InvalidInput
from brainctl.server.notify import notify
from tests.peers.servers import brainctl_argv, clean_environment

ROOT = Path(__file__).parent.parent.parent
PLAIN = [flag for flag in FLAGS if flag is not CONFIG_FILE]


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("flag", PLAIN, ids=lambda flag: flag.name)
def test_each_setting_has_a_flag_two_variables_and_a_place_in_the_file(flag: ServeFlag, tmp_path: Path) -> None:
    suffix = flag.name.upper().replace("-", "_")
    names = (f"BRAINCTL_SERVE_{suffix}", f"ETCD_{suffix}")
    assert flag.variables() == names
    environ = {"ETCD_CONFIG_FILE": write(tmp_path / "file", f'{flag.name} = "from file"')}
    assert ServeSettings({}, {}).text(flag.name) == flag.default
    assert ServeSettings({}, environ).text(flag.name) == "from file"
    environ[names[1]] = "from etcd"
    assert ServeSettings({}, environ).text(flag.name) == "from etcd"
    environ[names[0]] = "from variable"
    assert ServeSettings({}, environ).text(flag.name) == "from variable"
    assert ServeSettings({flag.key: "from flag"}, environ).text(flag.name) == "from flag"


def test_an_empty_variable_says_nothing() -> None:
    assert ServeSettings({}, {"ETCD_NAME": ""}).text("name") == "default"


@pytest.mark.parametrize(
    ("argv", "given"),
    [
        ([], None),
        (["--client-cert-auth"], True),
        (["--client-cert-auth=true"], True),
        (["--client-cert-auth=false"], False),
        (["--no-client-cert-auth"], False),
    ],
)
def test_a_truth_can_be_denied(argv: list[str], given: bool | None) -> None:
    command = load("serve")
    assert isinstance(command, TyperCommand)
    parser = command.make_parser(command.context_class(command))
    values, _, _ = parser.parse_args(translate(argv))
    assert values.get("client_cert_auth") is given
    environ = {"ETCD_CLIENT_CERT_AUTH": "true"}
    assert ServeSettings({"client_cert_auth": given}, environ).truth("client-cert-auth") is (given is not False)


def test_the_file_has_texts_numbers_truths_and_lists(tmp_path: Path) -> None:
    text = 'client-cert-auth = true\nmax-txn-ops = 7\ncipher-suites = ["a", "b"]\nname = "n"\n'
    settings = ServeSettings({"config_file": write(tmp_path / "file", text)}, {})
    assert settings.truth("client-cert-auth")
    assert settings.number("max-txn-ops") == 7
    assert settings.texts("cipher-suites") == ("a", "b")
    assert settings.text("name") == "n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing = 1", "there is no setting 'nothing'"),
        ('config-file = "other"', "there is no setting 'config-file'"),
        ("name = 1.5", "name is neither"),
        ("[name]", "name is neither"),
        ("name = [1]", "name is neither"),
        ("name", "cannot read"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_one_sentence(text: str, words: str, tmp_path: Path) -> None:
    path = write(tmp_path / "file", text)
    with pytest.raises(InvalidInput, match=re.escape(words)) as refused:
        ServeSettings({"config_file": path}, {})
    assert path in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="missing"):
        ServeSettings({"config_file": str(tmp_path / "missing")}, {})


def test_a_wrong_value_names_where_it_is_from(tmp_path: Path) -> None:
    path = write(tmp_path / "file", 'max-txn-ops = "x"')
    sources: list[tuple[dict[str, str], dict[str, str], str]] = [
        ({"max_txn_ops": "x"}, {}, "--max-txn-ops"),
        ({}, {"ETCD_MAX_TXN_OPS": "x"}, "ETCD_MAX_TXN_OPS"),
        ({"config_file": path}, {}, f"--max-txn-ops in {path}"),
    ]
    for given, environ, origin in sources:
        with pytest.raises(BrainctlError, match=re.escape(f'"x" for "{origin}"')):
            ServeSettings(given, environ).number("max-txn-ops")


@pytest.mark.parametrize(
    ("data_dir", "store", "in_file", "place"),
    [
        ("d", "", "", ("d", "")),
        ("", "file:///s", "", ("", "file:///s")),
        ("", "", 'data-dir = "f"', ("f", "")),
        ("", "", 'store = "file:///f"', ("", "file:///f")),
        ("d", "", 'store = "file:///f"', ("d", "")),
        ("", "file:///s", 'data-dir = "f"', ("", "file:///s")),
        ("d", "file:///s", "", None),
        ("", "", 'data-dir = "f"\nstore = "file:///f"', None),
        ("", "", "", None),
    ],
)
def test_there_is_one_store(
    data_dir: str, store: str, in_file: str, place: tuple[str, str] | None, tmp_path: Path
) -> None:
    settings = ServeSettings({"data_dir": data_dir or None, "config_file": write(tmp_path / "file", in_file)}, {})
    if place is not None:
        assert settings.place(store) == place
        return
    with pytest.raises(BadArguments):
        settings.place(store)


@pytest.mark.parametrize(
    "given",
    [
        {"max_txn_ops": "0"},
        {"max_request_bytes": "0"},
        {"max_request_bytes": "99999999999"},
        {"max_concurrent_streams": "0"},
        {"max_concurrent_streams": "4294967296"},
        {"grpc_keepalive_min_time": "-1s"},
        {"grpc_keepalive_interval": "5"},
        {"quota_backend_bytes": "1e9"},
        {"bcrypt_cost": "3"},
        {"auth_token_ttl": "0"},
        {"advertise_client_urls": "here"},
        {"listen_client_urls": "https://h:1"},
        {"listen_client_urls": ","},
        {"listen_client_urls": "http://h:1", "cert_file": "c", "key_file": "k"},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})
    with pytest.raises(BrainctlError):
        serve.parse(data_dir="d", **given)


def test_the_default_of_etcd_for_streams_is_as_many_as_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})
    assert serve.parse(data_dir="d", max_concurrent_streams="4294967295").limits.streams == 2**31 - 1


def test_the_defaults_can_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})
    plan = serve.parse(data_dir="d")
    assert plan.listen == "127.0.0.1:2379"
    assert plan.limits.message_bytes == (3 << 19) + (512 << 10)
    assert plan.limits.ping_min_seconds == 5
    assert plan.options.retention is None
    given = {flag.key: flag.default for flag in PLAIN if flag.default and flag.kind is not Kind.BOOL}
    explicit = serve.parse(**{"data_dir": "d", **given})
    assert explicit[1:] == plan[1:]


def test_the_flags_are_parameters_of_the_command() -> None:
    assert [*inspect.signature(serve.parse).parameters] == [*(flag.key for flag in FLAGS), ETCD_SETTING]


# -- systemd --------------------------------------------------------------------------------------------------------


def test_systemd_hears_of_ready_and_stopping(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(path))
        told.settimeout(120)
        argv = [*brainctl_argv(), "serve", "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0"]
        environ = clean_environment() | {"NOTIFY_SOCKET": str(path), "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL, env=environ) as server:
            assert told.recv(100) == b"READY=1"
            server.terminate()
            assert told.recv(100) == b"STOPPING=1"
            assert server.wait(120) == 0


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"brainctl-test-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify("READY=1")
        assert told.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_nobody_there_is_no_failure(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")


def test_the_unit_starts_the_server_with_its_file() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "packaging" / "brainctl.service")
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["ExecStart"].split()[1:3] == ["serve", "--config-file"]
    assert (service["StateDirectoryMode"], service["UMask"]) == ("0700", "0077")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (ROOT / "packaging" / "brainctl.service").read_text().replace("/usr/bin/brainctl", "/bin/true")
    unit = tmp_path / "brainctl.service"
    unit.write_text("\n".join(line for line in text.splitlines() if not line.startswith("Documentation=")))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "brainctl.service" not in done.stderr, done.stderr


def test_the_sample_file_shows_every_setting() -> None:
    text = (ROOT / "packaging" / "serve.toml").read_text()
    assert (
        ServeSettings({"config_file": str(ROOT / "packaging" / "serve.toml")}, {}).place("")[0] == "/var/lib/brainctl"
    )
    shown = tomllib.loads(re.sub(r"(?m)^# ([a-z-]+ = )", r"\1", text))
    assert set(shown) == {flag.name for flag in PLAIN} | {"store"}
    for flag in PLAIN:
        if flag.kind in (Kind.INT, Kind.DURATION) and flag.name != "quota-backend-bytes":
            assert str(shown[flag.name]) == flag.default


def test_the_manual_lists_every_setting() -> None:
    text = (ROOT / "docs" / "serve.md").read_text()
    assert [flag.name for flag in FLAGS if f"`--{flag.name}" not in text] == []


@pytest.mark.parametrize("url", ["http://0.0.0.0:2379", "https://[::]:2379/", "http://:2379"])
def test_an_address_at_which_no_other_server_finds_this_one_is_noticed(url: str) -> None:
    assert places.reaching_nobody(["http://10.0.0.1:2379", url]) == url
    assert places.reaching_nobody(["http://10.0.0.1:2379", "https://[::1]:2379", "http://h0.0.0.0:2379"]) == ""


def test_a_server_without_a_name_gets_one_that_no_other_on_this_machine_has() -> None:
    assert name_of("mine", "127.0.0.1:2379") == "mine"
    names = [
        name_of("default", listen) for listen in ("127.0.0.1:2379,:1", "http://127.0.0.1:2380/", "unix:///s", ":0")
    ]
    assert names[:2] == [f"{socket.gethostname()}-2379", f"{socket.gethostname()}-2380"]
    assert names[2:] == [f"{socket.gethostname()}-{os.getpid()}"] * 2


def test_a_role_is_one_of_three() -> None:
    assert [role_of(role) for role in ("auto", "leader", "follower")] == ["auto", "leader", "follower"]
    with pytest.raises(BadArguments, match="--role: auto, leader, follower are roles, not 'boss'"):
        role_of("boss")


def test_the_lead_is_kept_for_a_time_in_which_tikv_can_answer() -> None:
    assert [lease_of(seconds) for seconds in (0.5, 5.0, 600.0)] == [0.5, 5.0, 600.0]
    for seconds in (0.4, 601.0):
        with pytest.raises(BadArguments, match=r"--lead-lease: .* out of bounds, which are 0\.5 s to 600 s"):
            lease_of(seconds)
