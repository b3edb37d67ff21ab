"""Write completions/: the scripts that `brainctl completion SHELL` prints, for packages to install."""

import sys
from pathlib import Path

from brainctl.commands.completion import SHELLS, script

FILES = {"bash": "brainctl.bash", "zsh": "_brainctl", "fish": "brainctl.fish", "powershell": "brainctl.ps1"}


def render() -> dict[str, str]:
    """File name and content of each script."""
    return {FILES[shell]: script(shell) + "\n" for shell in SHELLS}


def main() -> int:
    """Write them, or with --check say which are not up to date."""
    directory = Path(__file__).resolve().parent.parent / "completions"
    directory.mkdir(exist_ok=True)
    stale = [name for name, text in render().items() if _read(directory / name) != text]
    if "--check" in sys.argv:
        for name in stale:
            print(f"completions/{name} is not up to date: run scripts/gen_completions.py")
        return 1 if stale else 0
    for name, text in render().items():
        (directory / name).write_text(text)
    return 0


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
