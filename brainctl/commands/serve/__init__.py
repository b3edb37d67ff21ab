"""brainctl serve, and the parts that only it needs."""
