"""Growth: whether what somebody tells us has multiplied within minutes: more often a mistake than a success."""

from collections import deque
from typing import Final

WITHIN: Final = 600.0
"""Seconds."""
TIMES: Final = 3
FROM: Final = 100
"""Fewer are nobody's alarm."""


class Growth:
    """A count over time; times are monotonic seconds."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()

    def note(self, count: int, now: float) -> str:
        """Take in the count as it is now; say why that alarms, or nothing."""
        while self._counts and self._counts[0][0] < now - WITHIN:
            self._counts.popleft()
        least = min((known for _, known in self._counts if known), default=0)
        self._counts.append((now, count))
        if not least or count < FROM or count < TIMES * least:
            return ""
        return f"{count} instances, {count / least:.0f} times as many as within the last {WITHIN / 60:.0f} minutes"
