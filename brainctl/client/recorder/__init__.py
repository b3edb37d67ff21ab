"""Recording a history: concurrent clients of a store, in a prefix of their own, and all that they were told.

`recording.py` runs clients and watchers for a time and cleans up; `workloads.py` says what clients do, `client.py` does
it and takes the times, `watcher.py` records streams of events; `requests.py` translates lines of a history into etcd's
requests, and answers into lines; `tape.py` writes them in the order of their returns.
"""
