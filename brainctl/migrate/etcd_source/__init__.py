"""The source of a migration, read through the etcd API.

* `reader.py`: revisions, pages of keys, leases; `range_splitter.py` cuts the key space for it.
* `following.py`: keeps the change stream open. `tailer.py` reads one watch, `revision_assembler.py` puts its responses
  together to whole revisions, `delivery.py` decides how to ask for it and when it has stalled.
"""
