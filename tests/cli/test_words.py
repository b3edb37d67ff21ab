"""What is typed where: help, versions, flags before their command, names of the program, variables that are none."""

import json
import re
from pathlib import Path

import pytest
from typer.core import TyperGroup

from brainctl.cli.etcdctl_dialect import unknown_variables
from brainctl.cli.main import COMMANDS, load
from brainctl.cli.settings import FLAGS
from brainctl.cli.word_order import GROUPS, arranged
from tests.cli.running import Runner
from tests.peers.certificates import Authority
from tests.peers.servers import Etcd, etcdctl


def test_the_groups_are_known() -> None:
    assert {name for name in COMMANDS if isinstance(load(name), TyperGroup)} == GROUPS


@pytest.mark.parametrize(
    ("argv", "same"),
    [
        (["help"], ["--help"]),
        (["help", "get"], ["get", "--help"]),
        (["help", "lease", "grant"], ["lease", "grant", "--help"]),
        (["--debug", "help", "lease"], ["lease", "--help"]),
        (["--help", "get"], ["get", "--help"]),
        (["get", "--help=true"], ["get", "-h"]),
        (["--version"], ["version"]),
    ],
)
def test_help_and_version_in_any_form(run: Runner, argv: list[str], same: list[str]) -> None:
    found = run(*argv)
    assert found == run(*same)
    assert (found.code, found.err) == (0, "")
    assert found.out


def test_help_for_what_is_no_command(run: Runner) -> None:
    found = run("help", "gte")
    assert (found.code, found.out) == (1, "")
    assert 'unknown command "gte"' in found.err
    assert "\tget\n" in found.err


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["endpoint", "--cluster", "status"], ["endpoint", "status", "--cluster"]),
        (["endp", "--cluster", "--hex", "stat", "-w", "json"], ["endp", "stat", "--cluster", "--hex", "-w", "json"]),
        (["--order", "DESCEND", "get", "k"], ["get", "--order", "DESCEND", "k"]),
        (["-w", "json", "-d", "x", "lease", "list"], ["lease", "list", "-w", "json", "-d", "x"]),
        (["-wjson", "get", "k"], ["get", "-wjson", "k"]),
        (["--no-insecure-transport", "get", "k"], ["get", "--no-insecure-transport", "k"]),
        (["put", "-", "--", "help"], ["put", "-", "--", "help"]),
        (["put", "help", "--help"], ["put", "help", "--help"]),
        (["--nope", "get", "k"], ["--nope", "get", "k"]),
        (["--", "get"], ["--", "get"]),
        (["lease", "--ttl"], ["lease", "--ttl"]),
        ([], []),
    ],
)
def test_a_command_comes_first(argv: list[str], expected: list[str]) -> None:
    assert arranged(argv, COMMANDS) == expected


def test_flags_before_a_command_count(run: Runner, etcd: Etcd) -> None:
    found = run("--endpoints", etcd.endpoint, "endpoint", "--cluster", "-w", "json", "status")
    assert found.code == 0
    assert json.loads(found.out)[0]["Endpoint"] == f"http://{etcd.endpoint}"


ANSWERS = [
    ["put", "numbers", "1"],
    ["get", "numbers"],
    ["lease", "list"],
    ["lease", "timetolive", "1"],
    ["member", "list"],
    ["endpoint", "hashkv"],
    ["auth", "status"],
    ["get", "numbers", "--hex"],
    ["del", "no-such-number"],
]


@pytest.mark.parametrize("argv", ANSWERS)
def test_json_under_etcdctls_name_is_etcdctls_byte_for_byte(run: Runner, etcd: Etcd, argv: list[str]) -> None:
    """Scripts look for `"revision":[0-9]*` and calculate with it."""
    line = [*argv, "-w", "json"]

    def still(text: str) -> str:
        """Without what the calls between change."""
        text = re.sub(r'"(cluster_id|member_id)":("?)[0-9a-f]+', r'"\1":\2ID', text) if "--hex" in argv else text
        return re.sub(r'"((?:mod_)?revision|version|hash)":\d+', r'"\1":N', text)

    expected = etcdctl(etcd.endpoint, *line).stdout
    found = run("--endpoints", etcd.endpoint, *line, program="etcdctl")
    assert re.sub(r'"ID"', "ID", still(found.out)) == re.sub(r'"ID"', "ID", still(expected))
    assert run("--endpoints", etcd.endpoint, *line, "--numbers", "int").out.count('":"') == found.out.count('":"')


def test_numbers_are_strings_unless_asked_for(run: Runner, etcd: Etcd) -> None:
    line = ("--endpoints", etcd.endpoint, "get", "nothing", "-w", "json")
    assert isinstance(json.loads(run(*line).out)["header"]["revision"], str)
    assert isinstance(json.loads(run(*line, "--numbers=int").out)["header"]["revision"], int)
    assert isinstance(json.loads(run(*line, "--numbers", "string", program="etcdctl").out)["header"]["revision"], str)
    run.environment.setenv("BRAINCTL_NUMBERS", "int")
    assert isinstance(json.loads(run(*line).out)["header"]["revision"], int)
    wrong = run(*line, "--numbers", "float")
    assert (wrong.code, wrong.err) == (
        1,
        'Error: invalid argument "float" for "--numbers" flag: it is none of int, string\n',
    )


@pytest.mark.parametrize("files", [["--cacert", "none"], ["--cert", "none", "--key", "none"], ["--key", "none"]])
@pytest.mark.parametrize(
    "argv",
    [
        ["get", "k"],
        ["watch", "k"],
        ["endpoint", "health"],
        ["endpoint", "status"],
        ["endpoint", "hashkv"],
        ["defrag"],
        ["lease", "list"],
        ["lock", "name"],
        ["snapshot", "save", "backup.db"],
        ["make-mirror", "127.0.0.1:1"],
        ["check", "perf"],
    ],
)
def test_a_certificate_that_cannot_be_read_is_a_bad_argument(
    run: Runner, etcd: Etcd, argv: list[str], files: list[str], tmp_path: Path
) -> None:
    """Wherever the endpoint leads, as in etcdctl."""
    run.environment.chdir(tmp_path)
    found = run("--endpoints", f"http://{etcd.endpoint}", *files, *argv)
    assert (found.code, found.out, found.err.count("\n")) == (128, "", 1)
    if argv == ["get", "k"]:
        assert etcdctl(etcd.endpoint, *files, *argv).returncode == 128


def test_files_that_do_not_fit_are_bad_arguments(run: Runner, etcd: Etcd, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    (certificate, _), (_, key) = authority.issue("one"), authority.issue("two")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no PEM")
    for files in (
        ["--cert", str(certificate), "--key", str(key)],
        ["--cert", str(garbage), "--key", str(garbage)],
        ["--cacert", str(garbage)],
        ["--cacert", str(tmp_path)],
    ):
        found = run("--endpoints", etcd.endpoint, *files, "get", "k")
        assert (found.code, found.out, found.err.count("\n")) == (128, "", 1), found


def test_the_files_of_a_mirror_too(run: Runner, etcd: Etcd) -> None:
    for flag in ("--dest-cacert", "--dest-cert", "--dest-key"):
        assert run("--endpoints", etcd.endpoint, "make-mirror", etcd.endpoint, flag, "none").code == 128


def test_variables_that_set_nothing_are_told(run: Runner, etcd: Etcd) -> None:
    run.environment.setenv("ETCDCTL_ENDPOINTS", etcd.endpoint)
    run.environment.setenv("ETCDCTL_API", "3")
    assert run("get", "nothing").err == ""
    run.environment.setenv("ETCDCTL_ENDPOINT", "127.0.0.1:1")
    found = run("get", "nothing")
    assert found.code == 0
    assert found.err == (
        "warning: there is no variable ETCDCTL_ENDPOINT, and it changes nothing: perhaps ETCDCTL_ENDPOINTS is meant\n"
    )
    assert run("version").err == ""
    assert unknown_variables([flag.variables()[1] for flag in FLAGS]) == []
