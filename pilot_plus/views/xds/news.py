"""News: what has changed since a moment, as far as it is remembered."""

from collections import deque
from collections.abc import Iterable, Set
from typing import Final

from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.supply import Changes

REMEMBERED: Final = 1024


class News:
    """The latest changes. Whoever has seen none of them compares everything."""

    def __init__(self, moment: int) -> None:
        """Nothing is known of what was before a moment."""
        self.latest = moment
        """When something changed last."""
        self._floor = moment
        self._noted: deque[tuple[int, Changes]] = deque()

    def __repr__(self) -> str:
        return f"<News of {len(self._noted)} changes, up to {self.latest}>"

    def note(self, moment: int, changes: Changes) -> None:
        """Something has changed."""
        self.latest = moment
        self._noted.append((moment, changes))
        if len(self._noted) > REMEMBERED:
            self._floor = self._noted.popleft()[0]

    def forget(self, moment: int) -> None:
        """Everything may have changed."""
        self.latest = self._floor = moment
        self._noted.clear()

    def since(self, mark: int) -> Changes | None:
        """What has changed after a mark; None: that is not known any more."""
        if mark < self._floor:
            return None
        found = []
        for moment, changes in reversed(self._noted):
            if moment <= mark:
                break
            found.append(changes)
        return merged(found)


def merged(changes: Iterable[Changes]) -> Changes:
    """Several changes as one."""
    found: dict[Type, Set[str]] = {}
    for one in changes:
        for type_, names in one.items():
            found[type_] = found[type_] | names if type_ in found else names
    return found
