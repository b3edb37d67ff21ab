"""The state machine of a migration, without I/O: events in, actions out.

In reading order: `phases.py` (the phases), `events.py` (events and actions), `state.py` (the decisions), `base_copy.py`
(pages of the base), `event_buffer.py` (revisions of the change stream), `lease_ledger.py` (leases), `resume.py`
(the start). The docstring of `brainctl.migrate` has an example from event to event.
"""
