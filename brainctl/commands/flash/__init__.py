"""brainctl flash, and the parts that only it needs."""
