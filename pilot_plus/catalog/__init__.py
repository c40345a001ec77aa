"""The live catalog: what every source says, folded into one immutable value, guarded, and published.

`catalog` holds the values, `admission` decides what enters, `guard` what may go at once, `fold` makes the next catalog
from the last one, and `holder` is the only part with a state: it publishes.
"""

from pilot_plus.catalog.catalog import Catalog, Entry, Held, Place, Source, Standing
from pilot_plus.catalog.holder import Follower, Holder

__all__ = ["Catalog", "Entry", "Follower", "Held", "Holder", "Place", "Source", "Standing"]
