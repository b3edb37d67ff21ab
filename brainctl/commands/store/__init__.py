"""brainctl store, and the parts that only it needs."""
