"""brainctl trace, and the parts that only it needs."""
