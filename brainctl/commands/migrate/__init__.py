"""brainctl migrate: `command` reads the flags, `run` opens the stores, the views show progress and the report."""
