"""Sync: drives every sink towards its plan. It compares what it sees with what should be; it does not remember.

    rules ─┐
    horizon┴▶ plan of a unit ──▶ guard ──▶ index ──▶ sink.put, then sink.drop
              ▲ actual: what the hub sees in the target as its own, by its source

`sync` is what the hub runs and asks; `target` drives one registry; `units` knows which services concern which;
`settling` remembers writes until they are reported; `restraint` holds mass removals; `index` proves what a layout
"""

from pilot_plus.sync.status import PlannedChange, RuleStatus, SyncPlan
from pilot_plus.sync.sync import Sync

__all__ = ["PlannedChange", "RuleStatus", "Sync", "SyncPlan"]
