"""A vigil over counters in a registry: who should move one, and has let it stand still for too long, is gone.

Wall clocks are not compared: what counts is how long we ourselves have seen the counter stand.

    at 0   hub-1, 17     seen for the first time: not over
    at 4   hub-1, 17     5 s of patience: not over
    at 5   hub-1, 17     over
    at 6   hub-1, 18     it moved: begun anew
"""

from collections.abc import Callable, Hashable
from time import monotonic


class Vigil:
    """What was seen last under each name, and since when."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """`clock`: monotonic seconds."""
        self._clock = clock
        self._seen: dict[str, tuple[Hashable, float]] = {}

    def is_over(self, name: str, counter: Hashable, patience: float) -> bool:
        """Whether a counter that was just read has stood still for so many seconds."""
        now = self._clock()
        seen = self._seen.get(name)
        if seen is None or seen[0] != counter:
            self._seen[name] = (counter, now)
            return False
        return now - seen[1] >= patience
