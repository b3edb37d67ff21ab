"""Running the tools of the machine: compilers and package managers, at low priority."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


class Unavailable(Exception):
    """A tool that a build needs is not on this machine."""


def tool(name: str) -> str:
    """The path of a program; Unavailable."""
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"there is no {name} on this machine")
    return path


def run(command: Sequence[str], cwd: Path, **environment: str) -> str:
    """Run a command to its end; returns its standard output. CalledProcessError has both outputs."""
    nice = [shutil.which("nice") or "nice", "-n", "10"]
    done = subprocess.run(
        [*nice, *command], cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, list(command), done.stdout + done.stderr)
    return done.stdout
