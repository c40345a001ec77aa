"""The life of an agent's Envoys, as a pure state machine: what happens goes in, what is to be done comes out.

begin      ▶ Launch 1
ready 1                                         1 serves
replace    ▶ Launch 2                           1 serves, 2 starts
ready 2    ▶ Drain 1                            1 drains, 2 serves
drained 1  ▶ Terminate 1
exited 1                                        2 serves
exited 2   ▶ Launch 3, after a pause            a crash: the pause grows with each one in a row
stop       ▶ Drain 3                            nothing is launched any more
"""

from enum import Enum
from typing import Final, TypeAlias

import msgspec

STABLE: Final = 10.0
"""Seconds that an Envoy must have lived for its crash to be the first of a row."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 30.0


class Phase(Enum):
    """Where an Envoy is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Launch(msgspec.Struct, frozen=True):
    """Start an Envoy, after a pause (seconds)."""

    number: int
    pause: float = 0.0


class Drain(msgspec.Struct, frozen=True):
    """Let it take no new connections, and tell when the others have ended, or their time is up."""

    number: int


class Terminate(msgspec.Struct, frozen=True):
    """End it."""

    number: int


class End(msgspec.Struct, frozen=True):
    """All is done."""


Command: TypeAlias = Launch | Drain | Terminate | End


class Lifecycle:
    """The Envoys of an agent, by number."""

    def __init__(self) -> None:
        self.phases: dict[int, Phase] = {}
        self.crashes = 0
        """In a row."""
        self.restarts = 0
        self.is_stopping = False
        self._last = 0

    def begin(self) -> list[Command]:
        """The agent starts."""
        return [self._launch()]

    def ready(self, number: int) -> list[Command]:
        """An Envoy serves: those before it may go."""
        if number not in self.phases:
            return []
        if self.is_stopping:
            return [Terminate(number)]
        self.phases[number] = Phase.SERVING
        return [self._drain(older) for older in self._in(Phase.SERVING) if older < number]

    def exited(self, number: int, lived: float) -> list[Command]:
        """An Envoy's process is gone, or could not be started, after so many seconds."""
        phase = self.phases.pop(number, None)
        if self.is_stopping:
            return [] if self.phases else [End()]
        if phase in (None, Phase.DRAINING):
            return []
        self.crashes = self.crashes + 1 if lived < STABLE else 1
        if self._in(Phase.SERVING) or self._in(Phase.STARTING):
            return []  # it was to replace one that still serves, or another one is due already
        self.restarts += 1
        return [self._launch(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.crashes - 1, 16)))]

    def replace(self) -> list[Command]:
        """Another Envoy is to take over; nothing happens while one is starting."""
        return [] if self.is_stopping or self._in(Phase.STARTING) else [self._launch()]

    def drained(self, number: int) -> list[Command]:
        """A draining Envoy has no connections left, or no time."""
        return [Terminate(number)] if number in self.phases else []

    def stop(self) -> list[Command]:
        """The agent is to end."""
        self.is_stopping = True
        if not self.phases:
            return [End()]
        starting, serving = self._in(Phase.STARTING), self._in(Phase.SERVING)
        return [*(Terminate(one) for one in starting), *(self._drain(one) for one in serving)]

    @property
    def newest(self) -> int:
        """The number of the Envoy that was launched last."""
        return self._last

    @property
    def is_serving(self) -> bool:
        """Whether one serves."""
        return bool(self._in(Phase.SERVING))

    def _launch(self, pause: float = 0.0) -> Launch:
        self._last += 1
        self.phases[self._last] = Phase.STARTING
        return Launch(self._last, pause)

    def _drain(self, number: int) -> Drain:
        self.phases[number] = Phase.DRAINING
        return Drain(number)

    def _in(self, phase: Phase) -> list[int]:
        return [number for number, now in self.phases.items() if now is phase]
