"""Names of small records that several packages read."""

CHECKPOINT = b"migration"
"""The small record that holds the checkpoint of a migration."""
