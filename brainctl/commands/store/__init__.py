"""brainctl store: `command` for any store, `files` for the files of one in a directory, `scrub` for a served one."""
