"""brainctl verify, and the parts that only it needs."""
