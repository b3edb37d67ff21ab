"""brainctl flash probe, report."""

from brainctl.commands._command import command, group
from brainctl.commands._flash_probe import parse_probe, probe
from brainctl.commands._flash_report import parse_report, report

app = group("Measure the medium under a store, and what a store does to it.")
app.command("probe")(command(parse_probe, probe))
app.command("report")(command(parse_report, report))
