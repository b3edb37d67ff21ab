"""The unit in which a device writes as a whole or not at all."""

SECTOR = 512
"""Bytes that a crash keeps or loses whole."""
