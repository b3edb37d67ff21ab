"""Names of small records that several packages read."""

CHECKPOINT = b"migration"
"""The name of the record."""
