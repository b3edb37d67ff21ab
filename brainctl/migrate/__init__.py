r"""Migration: a store is copied into another while it is in use, with its revisions, versions and leases.

In reading order:

* `machine/`: the state machine without I/O. `phases.py` (what leads from phase to phase), `events.py` (its inputs and
  outputs), `state.py` (the decisions), `base_copy.py`, `event_buffer.py`, `lease_ledger.py` and `auth_book.py` (what is
  due to be written), `record.py` (the record that the target keeps with each write), `resume.py` (may a migration go
  on), `witness.py` (evidence that the source is what it was).
* `source.py`: the interface of what is migrated from. `etcd_source/`: any store of the etcd API; `fixed_source.py`:
  what never changes, such as a database file of etcd (`snapshot_source.py`); `sources.py` opens either by its URL.
* `target.py`: the interface of what is migrated into, and a store of brainctl as a target. `takeover.py`,
  `target_handle.py`: take the target over, and write to it.
* `runner.py`: carries out the actions of the state machine, and passes it the answers as events; `follower.py` passes
  it the changes of the source, and `spool.py` keeps those that wait. `migrator.py`: all of it, from opening both sides
  to the report. `planner.py`: the dry run, whose rules are in `machine/prechecks.py`.
* `cutover.py`, `unfreezing.py`: stopping the writers of the source. `retry.py`, `patient.py`: waiting for a store that
  does not answer. `observer.py`, `progress.py`, `report.py`: what is shown.

The phases:

    new          choose a base revision
    copying      copy the state at the base revision, page by page
    catching-up  apply the change stream from the revision after the base
    synced       the target has kept up with the source
    freezing     --cutover only: the freeze hook stops the writers of the source
    draining     the last revisions are applied
    verifying    both sides are compared
    committed    the target is the store of record

Example: the source is at revision 7 with the keys /a, /b (with lease 42) and /z; the target is empty. 0 is the attempt:
the number of times that the copy had to start over. Writes carry the record of the state after them.

    event (what has happened)                action (what is to be done)         phase
    (begin)                                  ChooseBase(0, oldest)               new
    BaseChosen(0, 7, splits (/n), 3 keys)    Watch(0, from revision 8)            copying
    Streamed(0, [])                          ReadPage(0, span 0, \0 to /n, 7)    the watch is open
                                             ReadPage(0, span 1, /n to the end, 7)
    PageRead(0, span 0, [/a, /b], {42})      FetchLeases((42,))                  a lease is written before its keys
    LeasesFetched((42,): TTL 60, 31 left)    GrantLeases(42)                     first write
    PageRead(0, span 1, [/z])                (none: one write at a time)
    Written                                  ImportBase([/a, /b, /z])            catching-up, watermark 7
    Written                                  (none)
    SourceAt(9)                              (none: it tells when the target has caught up)
    Streamed(0, [revisions 8, 9])            Apply(their events)                 watermark 9
    Written                                  ReconcileLeases, ReadAuth           synced
                                             GrantLeases((), record)             the record says synced

When the source has compacted revision 7 before span 1 is read, the copy goes on at the newest revision:

    PageCompacted(0, span 1)                 ReadPage(0, span 1, /n to the end, 0)
    PageRead(0, span 1, at 9, [/z])          (none: what is copied has the state of revision 7)
    Streamed(0, [revisions 8, 9])            AdvanceBase(their events)            base and watermark 9
    Written                                  ImportBase([/z])                     catching-up

With --cutover it goes on, once leases, users and roles are equal:

    Written, LeasesListed(all, final)        GrantLeases(42)                     with its present TTL
    Written, AuthRead (as in the target)     GrantLeases((), record)             freezing; the record names the hook
    Written                                  Freeze                              run the hook, read the revision twice
    Frozen(12)                               (none: 10 to 12 are not applied)    draining
    Streamed(0, [revisions 10 to 12])        Apply(their events)                 watermark 12
    Written                                  ReconcileLeases, ReadAuth
    LeasesListed(all, final)                 GrantLeases(42)
    Written, AuthRead (as in the target)     Verify(12)                          verifying
    AuthRead (as in the target)              (none: read again after comparing)
    Verified(12, 0 differences)              Apply([], record)                   committed
    Written                                  Finish("")

A process killed at any point is continued by the next one from the record in the target.
"""
