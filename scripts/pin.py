"""Pin every package that an installation takes: requirements/runtime.txt and requirements/develop.txt, with hashes.

The versions are the newest that pyproject.toml allows; the hashes are those of all files of a version, so that one
list serves CPython 3.11 to 3.14. Run it with CPython 3.11, the oldest supported, whose list is the longest.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILE = (
    *(sys.executable, "-m", "piptools", "compile", "--quiet", "--generate-hashes", "--allow-unsafe"),
    *("--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate", "--strip-extras"),
)
# Built into wheels for CPython 3.11 only; the version before it has a wheel for all.
OLD_ABI = 'python_version < "3.12"'
ALL_ABIS = {"tikv-client==0.0.4": "tikv-client==0.0.3"}
BUILD = ["hatchling", "editables"]


def pinned(requirements: list[str]) -> str:
    """Requirement lines with hashes for `requirements` and all that they need."""
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name, "in.txt"), Path(name, "out.txt")
        source.write_text("\n".join(requirements))
        subprocess.run([*COMPILE, "--output-file", str(target), str(source)], check=True)
        return target.read_text()


def for_all_abis(text: str) -> str:
    """Add, beside each version that has wheels for CPython 3.11 only, the one for the others."""
    for old, other in ALL_ABIS.items():
        line = next(line for line in pinned([other]).split("\n\n") if line.startswith(other))
        newer = line.replace(other, f'{other} ; python_version >= "3.12"')
        text = text.replace(f"{old} \\", f"{newer.rstrip()}\n{old} ; {OLD_ABI} \\")
    return text


def main() -> None:
    """Entry point."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime = [*project["project"]["dependencies"], *BUILD]
    groups = project["dependency-groups"]
    extras = [each for extra in project["project"]["optional-dependencies"].values() for each in extra]
    develop = [*runtime, *extras, *groups["test"], *groups["dev"]]
    for name, requirements in {"runtime": runtime, "develop": develop}.items():
        (ROOT / "requirements" / f"{name}.txt").write_text(for_all_abis(pinned(requirements)))


if __name__ == "__main__":
    main()
