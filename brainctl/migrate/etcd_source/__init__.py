"""The source of a migration, read through the etcd API.

* `source.py`: the source, made of the parts below.
* `reader.py`: revisions, pages of keys, leases; `range_splitter.py` cuts the key space for it.
* `change_stream.py`: opens the change stream. `tailer.py` reads one watch, `revision_assembler.py` puts its responses
  together to whole revisions, `delivery.py` decides how to ask for it and when it has stalled.
* `confirm.py`: checks that the source still has the history that was copied.
"""
