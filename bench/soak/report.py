"""The report of a soak: divergences, memory, reconnects, and what it all stood."""

import re
from collections import Counter
from statistics import median

from bench.harness.figures import conditions


class Report:
    """What has been seen so far."""

    def __init__(self, said: str) -> None:
        """`said`: how the soak was asked for."""
        self.said = said
        self.divergences: list[str] = []
        self.changes = 0
        self.pauses = 0
        self.recalled = 0
        self.faults: Counter[str] = Counter()
        self.deaths = 0
        self.healed: list[float] = []
        self.slowest = ""
        self.memory: list[tuple[int, float, int]] = []
        """Which life of the hub, seconds since the beginning, bytes."""
        self.database: list[int] = []
        self._reconnects: Counter[str] = Counter()
        self._this_life: dict[str, float] = {}

    def reconnected(self, metrics: str) -> None:
        """Read the counters of a hub that lives."""
        self._this_life = {
            name: float(value)
            for name, value in re.findall(r'^pilot_plus_reconnects_total\{registry="([^"]+)"\} (\S+)', metrics, re.M)
        }

    def died(self) -> None:
        """The hub's counters begin anew."""
        self.deaths += 1
        for name, value in self._this_life.items():
            self._reconnects[name] += int(value)
        self._this_life = {}

    @property
    def reconnects(self) -> dict[str, int]:
        """How often each registry was opened again."""
        names = self._reconnects.keys() | self._this_life.keys()
        return {name: self._reconnects[name] + int(self._this_life.get(name, 0)) for name in sorted(names)}

    def drift(self) -> str:
        """Resident memory in the hub's longest life: in its first third, and in its last."""
        lives = [
            [(time, size) for life, time, size in self.memory if life == number] for number in range(self.deaths + 1)
        ]
        longest = max(lives, key=lambda life: life[-1][0] - life[0][0] if life else 0.0, default=[])
        if len(longest) < 6:
            return "too short a life to tell"
        third = len(longest) // 3
        first, last = (median(size for _, size in part) / 1e6 for part in (longest[:third], longest[-third:]))
        minutes = (longest[-1][0] - longest[0][0]) / 60
        return f"{first:.1f} MB in the first third, {last:.1f} MB in the last ({minutes:.0f} min, {len(longest)} looks)"

    def __str__(self) -> str:
        """As it is printed."""
        healed = self.healed or [0.0]
        times = f"in step after p50 {median(healed):.1f} s, max {max(healed):.1f} s ({self.slowest})"
        lines = [
            f"soak: {self.said}; {conditions()}",
            f"divergences   {len(self.divergences)}",
            *(f"              {one}" for one in self.divergences),
            f"pauses        {self.pauses}, {times}",
            f"changes       {self.changes}",
            f"faults        {sum(self.faults.values())}: "
            + ", ".join(f"{n} {name}" for name, n in self.faults.most_common()),
            f"hub deaths    {self.deaths}",
            "reconnects    " + ", ".join(f"{name} {number}" for name, number in self.reconnects.items()),
            f"memory        {self.drift()}",
            f"history       {self.recalled} moments recalled as they were shown",
        ]
        if any(self.database):  # a server keeps its own
            largest = max(self.database) / 1e6
            lines.append(f"journal       {self.database[-1] / 1e6:.1f} MB with history, at most {largest:.1f} MB")
        return "\n".join(lines)
