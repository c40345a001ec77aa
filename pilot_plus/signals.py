"""Signals of the operating system, as events."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def told_by(*numbers: signal.Signals) -> Iterator[asyncio.Event]:
    """An event that any of these signals sets; they have no other effect meanwhile."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in numbers:
        loop.add_signal_handler(number, told.set)
    try:
        yield told
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
