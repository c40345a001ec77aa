"""Foresight: what a sink says will become of a write, remembered for as long as it is likely to be asked again.

A unit is planned when something about it changes, and again when the target's source reports what was written; what
a layout makes of a record that is the same needs no second encoding.
"""

from typing import Final

from pilot_plus.model import Instance, Origin
from pilot_plus.ports import Refused
from pilot_plus.views.rules import Preview

MOST: Final = 32_768
"""Records that are remembered."""


class Foresight:
    """A preview with a memory."""

    def __init__(self, preview: Preview) -> None:
        """Ask `preview` for what is not remembered."""
        self._preview = preview
        self._known: dict[tuple[str, str, Origin], tuple[Instance, Instance | Refused]] = {}

    def __call__(self, record: Instance) -> Instance | Refused:
        """What will become of a record."""
        place = (record.layout, record.name, record.origin)
        known = self._known.get(place)
        if known is not None and known[0] == record:
            return known[1]
        if len(self._known) >= MOST:
            self._known.clear()
        foreseen = self._preview(record)
        self._known[place] = (record, foreseen)
        return foreseen
