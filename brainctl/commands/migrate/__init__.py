"""brainctl migrate, and the parts that only it needs."""
