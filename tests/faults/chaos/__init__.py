"""Three instances over one TiKV cluster under random faults, and whether what their clients were told keeps etcd's
promises: `schedule.py` chooses the faults, `cluster.py` and `links.py` make them, `turn.py` runs one schedule under a
recorded load, `planted.py` has bugs that the check must find.
"""
