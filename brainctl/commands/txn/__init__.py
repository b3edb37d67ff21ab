"""brainctl txn: `text` reads its lines, `command` runs the transaction."""
