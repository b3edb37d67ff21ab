"""brainctl check."""

from brainctl.cli.command import command, group
from brainctl.commands.check import history, load

app = group("Check how fast a store is, what its data costs, and whether it keeps its promises.")
app.command("perf")(command(load.parse_perf, load.perf))
app.command("datascale")(command(load.parse_datascale, load.datascale))
app.command("history")(command(history.parse, history.run))
