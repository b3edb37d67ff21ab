"""The backend over the local engine: group commit, and the time each stage of it takes.

In reading order:

* `group_commit.py`: how a write is evaluated, made durable, shown and answered.
* `batch_window.py`: whether a batch waits for more writes before it is written.
* `engine_work.py`: what is done beside the requests: reclaim, writing the index, making segments ahead.
* `backend.py`: `LocalBackend`: group commit, reads and that work together.
* `write_stages.py`: the timing of each stage, for /metrics and `brainctl trace put`.
* `token_bucket.py`: the rate limit of background work.

The time line of a group commit. The store is at revision 10; clients A, B and C put one key each. The event loop owns
all state; the writer thread only writes and syncs.

    event loop                                                            writer thread
    put A is evaluated: revision 11 is staged in batch 1                  idle
    no batch is in flight: sealing is due in the next turn
    batch 1 is sealed, laid out for the log and handed over ------------> takes batch 1 (A)
    batch 2 is open                                                       write, then fdatasync
    put B is evaluated on 11: revision 12 in batch 2                        ...
    put C is evaluated on 12: revision 13 in batch 2                        ...
    a get of any key still answers at revision 10: 11 is not durable        ...
    batch 1 is durable <------------------------------------------------- done
    publish 11: reads see it, the watch hub gets its event
    reply to A
    batch 2 is sealed, laid out and handed over ------------------------> takes batch 2 (B and C)
    batch 3 is open                                                       one write and one fdatasync for both
    batch 2 is durable <------------------------------------------------- done
    publish 12 and 13, reply to B and C
    batch 3 may wait up to 2 ms, until 2 writes have joined: B and C were answered together and will soon write again

If the write or the sync fails, A is in flight and B and C are in the open batch: all three get UnknownOutcome, the
store stops, and every later write is refused with STOPPED.

The stages that `write_stages.py` times, on the way of put A:

    received .. submitted .. evaluated .. sealed .. encoded .. taken .. written .. woken .. applied .. replied
       receive      batch      queue     batch     wake   write, sync   wake     apply      reply
"""
