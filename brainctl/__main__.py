"""`python -m brainctl`."""

from brainctl.cli.entry import main

main()
