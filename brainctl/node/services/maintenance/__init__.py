"""The Maintenance service.

`service.py` has status, hashes and defragmentation; `alarms.py` the alarms and what they forbid; `downgrade.py` the
bookkeeping of downgrades; `snapshot.py` the database file of etcd that Maintenance.Snapshot sends, and
`snapshot_room.py` how many of these there may be at once.
"""
