"""Figures: quantiles, CPU time of other processes, and the conditions that stand beside every number."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median


def conditions() -> str:
    """The machine and its load, as far as they bear on a figure."""
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which `part` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def milliseconds(values: Sequence[float]) -> str:
    """The median and the 99th percentile of values in seconds."""
    return f"p50 {median(values) * 1e3:7.2f} ms  p99 {quantile(values, 0.99) * 1e3:7.2f} ms"


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process and its threads have used: nanosecond counters, not the 10 ms ticks of `stat`."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident_of(pid: int) -> int:
    """Bytes of resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
