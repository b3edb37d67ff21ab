"""The harness of the tests itself: a hang is a failure with a name, and an ignored SIGINT is not inherited."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.peers.servers import Etcd, clean_environment

IGNORING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
"""Runs a program as a shell without job control runs it in the background."""

HANGS = """
import subprocess, sys, threading

def test_it_hangs(tmp_path):
    with (tmp_path / "log").open("w") as log:
        subprocess.Popen([sys.executable, "-c", "print('what the child said', flush=True); input()"],
                         stdin=subprocess.PIPE, stdout=log, stderr=log)
        threading.Thread(target=threading.Event().wait, name="a-thread-that-waits", daemon=True).start()
        threading.Event().wait()

def test_the_next_one_runs():
    pass
"""

SENDS = """
import signal, subprocess, sys

def test_a_child_is_ended_by_sigint():
    child = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == -signal.SIGINT
"""


def run(tmp_path: Path, text: str, *flags: str, conftest: bool = True) -> str:
    """Run a test file under the project's conftest.py, SIGINT ignored; returns what pytest printed."""
    test = tmp_path / "test_inner.py"
    test.write_text(text)
    if conftest:
        (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    argv = [sys.executable, "-c", IGNORING, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(test), *flags]
    done = subprocess.run(
        argv, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=clean_environment(), check=False
    )
    return done.stdout + done.stderr


def test_a_hang_is_a_failure_that_shows_threads_children_and_their_output(tmp_path: Path) -> None:
    shown = run(tmp_path, HANGS, "--timeout", "2", "--timeout-method", "signal")
    assert "1 failed, 1 passed" in shown
    assert "test_it_hangs" in shown
    assert "Timeout" in shown
    assert "a-thread-that-waits" in shown
    assert "what the child said" in shown


def test_every_test_has_a_limit(pytestconfig: pytest.Config) -> None:
    assert 0 < float(pytestconfig.getini("timeout")) <= 600


def test_an_example_may_take_as_long_as_the_machine_needs() -> None:
    assert settings.default is not None
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check


def test_children_are_ended_by_sigint_where_the_run_itself_ignores_it(tmp_path: Path) -> None:
    assert "1 passed" in run(tmp_path, SENDS)


def test_control_without_the_conftest_the_child_ignores_it(tmp_path: Path) -> None:
    shown = run(tmp_path, SENDS.replace("60", "1"), conftest=False)
    assert "TimeoutExpired" in shown
    assert "1 failed" in shown


def test_a_watch_ends_by_sigint_although_it_was_started_in_the_background(etcd: Etcd) -> None:
    argv = [sys.executable, "-c", IGNORING, sys.executable, "-m", "brainctl", "--endpoints", etcd.endpoint]
    put = subprocess.run([*argv, "put", "background", "1"], env=clean_environment(), capture_output=True, check=True)
    assert put.stdout == b"OK\n"
    watch = [*argv, "watch", "background", "--rev", "1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(watch, stdout=pipe, stderr=pipe, env=clean_environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"PUT\n"
        process.send_signal(2)
        assert process.wait(120) == 130
        assert process.stderr.read() == b""
