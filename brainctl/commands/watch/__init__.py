"""brainctl watch, and the parts that only it needs."""
