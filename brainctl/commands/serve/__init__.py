"""brainctl serve: `settings` and `places` read what to serve and where, `command` serves, `log` writes the log."""
