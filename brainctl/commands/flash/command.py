"""brainctl flash probe, report."""

from brainctl.cli.command import command, group
from brainctl.commands.flash.probe import parse_probe, probe
from brainctl.commands.flash.report import parse_report, report

app = group("Measure the disk under a store, and what a store does to it.")
app.command("probe")(command(parse_probe, probe))
app.command("report")(command(parse_report, report))
