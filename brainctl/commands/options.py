"""brainctl options."""

from brainctl.cli.command import single
from brainctl.cli.options import Passed
from brainctl.cli.session import Session
from brainctl.cli.settings import FLAGS, Kind


def parse(args: Passed = None) -> None:
    """Show the global flags, which every command takes."""
    del args


def run(session: Session, plan: None) -> None:
    """Show them, sorted by name, in etcdctl's layout."""
    del plan
    session.say("The following options can be passed to any command:\n")
    rows = []
    for flag in sorted(FLAGS, key=lambda flag: flag.name):
        name = f"  {flag.short}, --{flag.name}" if flag.short else f"      --{flag.name}"
        kind = "" if flag.kind is Kind.BOOL else f" {flag.kind.value}"
        default = f" (default {flag.default})" if flag.default not in ("", "false", "0") else ""
        rows.append((name + kind, flag.help + default))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        session.say(f"{name:<{width}}   {text}")


app = single("options", parse, run)
