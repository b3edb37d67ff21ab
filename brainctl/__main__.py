"""`python -m brainctl`."""

from brainctl.entry import main

main()
