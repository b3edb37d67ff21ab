"""brainctl snapshot, and the parts that only it needs."""
