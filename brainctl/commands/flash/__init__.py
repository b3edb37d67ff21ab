"""brainctl flash: `probe` measures a disk, `report` and `lines` show what a store does to it."""
