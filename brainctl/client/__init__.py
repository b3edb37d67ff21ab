"""Recipes over any store.

* `resumable_watch.py`: a watch that is opened again after a lost connection.
* `lease_session.py`: a lease that is kept alive; `lock_recipe.py`: locks and elections with it.
* `mirror.py`: a continuous copy of keys into another store (`make-mirror`).
* `load.py`: writes at a rate, measured (`check perf`); `steady_writer.py`: the writer of the migration demo.
* `failure.py`: errors whose text or exit code is the command's.
"""
