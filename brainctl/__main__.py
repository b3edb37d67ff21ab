"""`python -m brainctl`."""

from brainctl.cli import main

main()
