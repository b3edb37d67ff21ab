"""The Maintenance service: status, hashes, alarms, downgrades, snapshots."""
