"""Sync: drives every sink towards its plan. It compares what it sees with what should be; it does not remember.

    rules ─┐
    horizon┴▶ plan of a unit ──▶ guard ──▶ index ──▶ sink.put, then sink.drop
              ▲ actual: what the hub sees in the target as its own, by its source

`sync` is what the hub runs and asks; `reconciler` drives one registry; `planning` and `units` know what to do where;
`writing` hands it to the sink; `settling` remembers a write until it is reported; `restraint` holds mass removals;
`index` proves what a layout without marks can't say; `turn` keeps two hubs from writing at once; `telling` says
how rules stand; `registrar` registers for callers, anywhere, with the `fellows` who share its journal.
"""

from pilot_plus.sync.branch import Missing, Outcome
from pilot_plus.sync.registrar import Registrar
from pilot_plus.sync.sync import Sync

__all__ = ["Missing", "Outcome", "Registrar", "Sync"]
