"""Check the subjects of commits: `area: imperative summary`, at most 72 characters.

With the file of a message (a commit-msg hook gives it) that message is checked, otherwise the newest commits.
"""

import re
import subprocess
import sys
from pathlib import Path

NEWEST = 100
"""How many commits are read, without those that merge."""
LENGTH_MAX = 72
_FORM = re.compile(r"[a-z0-9_./, -]+: (?P<verb>[a-z]\S*).*[^.]")
_IMPERATIVE = re.compile(r".*ss|.*eed|(?!.*(?:ed|ing|s)$).*|alias|bias|bring|embed|focus|ping|shed|string")


def wrong(subject: str) -> str:
    """Return what is wrong with a subject; "" when it is right."""
    form = _FORM.fullmatch(subject)
    if form is None:
        return "it is not `area: imperative summary` in lower case, without a full stop"
    if len(subject) > LENGTH_MAX:
        return f"it has {len(subject)} characters, and at most {LENGTH_MAX} are shown"
    if ";" in subject:
        return "it has a semicolon: make one commit of each change"
    if not _IMPERATIVE.fullmatch(form["verb"]):
        return f"`{form['verb']}` is not the imperative of a verb: say what the commit does, as in `add`"
    return ""


def subjects() -> list[str]:
    """Return the subjects of the newest commits; none outside a checkout, as in an unpacked sdist."""
    command = ["git", "log", f"-{NEWEST}", "--no-merges", "--format=%s"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def main(argv: list[str]) -> int:
    """Entry point. Returns the exit code."""
    read = [Path(argv[0]).read_text(encoding="utf-8").partition("\n")[0]] if argv else subjects()
    found = [f"{subject}\n    {said}\n" for subject in read if (said := wrong(subject))]
    sys.stderr.write("".join(found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
