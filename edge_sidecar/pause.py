"""A pause between tries, that grows up to a limit and is never the same for two agents."""

import random
from typing import Final

FIRST: Final = 0.1
LONGEST: Final = 5.0
"""Seconds."""


class Pause:
    """How long to wait before the next try."""

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self._tries = 0

    def next(self) -> float:
        """Seconds; more with each try."""
        self._tries += 1
        longest = min(self._longest, FIRST * 2.0 ** min(self._tries, 16))
        return random.uniform(0.5, 1) * longest

    def reset(self) -> None:
        """It went well."""
        self._tries = 0
