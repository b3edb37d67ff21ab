"""Tools for a store that nobody has open: check, dump, info, repair, rebuild."""
