"""brainctl txn, and the parts that only it needs."""
