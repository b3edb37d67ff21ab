"""brainctl flash: `probe` measures a medium, `report` and `lines` show what a store does to it."""
