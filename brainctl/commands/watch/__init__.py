"""brainctl watch: `arguments` reads what to watch, `streams` follows the watches, `command` runs both."""
