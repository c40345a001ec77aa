"""A wide area between two network namespaces: packets that are late, are lost, or wait for a narrow line.

Each side has a TUN device, and the packets of one are written to the other by this process: so loss is loss, and TCP
deals with it as it does anywhere. Needs Linux, root, and `ip`.
"""

import asyncio
import fcntl
import os
import random
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

_TUN: Final = Path("/dev/net/tun")
_SET_INTERFACE: Final = 0x400454CA
_TUN_WITHOUT_HEADER: Final = 0x1001
_MTU: Final = 1500
_QUEUE: Final = 0.2
"""Seconds that a packet waits for a narrow line, at most: then it is dropped, as routers do."""


def can_be_made() -> bool:
    """Whether this machine lets us make namespaces and devices."""
    try:
        making = ["unshare", "-n", "ip", "tuntap", "add", "dev", "t0", "mode", "tun"]
        found = subprocess.run(making, capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return found.returncode == 0 and os.access(_TUN, os.R_OK | os.W_OK)


class Wan:
    """Two sides, named as they were given; `delay`, `loss` and `rate` may change at any time."""

    def __init__(self, addresses: dict[str, str], devices: Sequence[int], tag: str) -> None:
        """`devices`: the open TUN of each side."""
        self.addresses = addresses
        self.delay = 0.0
        """Seconds, each way."""
        self.loss = 0.0
        """The part of the packets that gets lost, each way."""
        self.rate: float | None = None
        """Bytes a second, each way; None: any number."""
        self.one_way_only = ""
        """The side that can't be dialled: connections that begin on the other one don't reach it."""
        self.lost = 0
        """Packets, up to now."""
        self._tag = tag
        self._devices = tuple(devices)
        self._free_at = [0.0, 0.0]
        self._chance = random.Random(7)

    def within(self, side: str) -> tuple[str, ...]:
        """The words before a command that runs there."""
        return ("ip", "netns", "exec", f"{self._tag}-{side}")

    @contextmanager
    def carrying(self) -> Iterator[None]:
        """Carry packets, on the running event loop."""
        loop = asyncio.get_running_loop()
        for side, device in enumerate(self._devices):
            loop.add_reader(device, self._arrived, side)
        try:
            yield
        finally:
            for device in self._devices:
                loop.remove_reader(device)

    def _arrived(self, side: int) -> None:
        """Take what waits at a side, and let it arrive at the other in its time."""
        loop = asyncio.get_running_loop()
        for _ in range(64):
            try:
                packet = os.read(self._devices[side], 2 * _MTU)
            except BlockingIOError:
                return
            wait = self._wait(side, len(packet), loop.time())
            if self._chance.random() < self.loss or wait is None or self._is_dial_of(1 - side, packet):
                self.lost += 1
            elif wait + self.delay > 0:
                loop.call_later(wait + self.delay, self._deliver, 1 - side, packet)
            else:
                self._deliver(1 - side, packet)

    def _wait(self, side: int, size: int, now: float) -> float | None:
        """How long a packet waits for the line; None: too long."""
        if not self.rate:
            return 0.0
        begins = max(now, self._free_at[side])
        if begins - now > _QUEUE:
            return None
        self._free_at[side] = begins + size / self.rate
        return self._free_at[side] - now

    def _is_dial_of(self, side: int, packet: bytes) -> bool:
        """Whether a packet begins a connection to a side that can't be dialled."""
        if list(self.addresses)[side] != self.one_way_only or packet[0] >> 4 != 4 or packet[9] != 6:
            return False
        flags = packet[(packet[0] & 15) * 4 + 13]
        return flags & 0x12 == 0x02  # SYN without ACK

    def _deliver(self, side: int, packet: bytes) -> None:
        try:
            os.write(self._devices[side], packet)
        except OSError:
            self.lost += 1  # its queue is full, or it is down by now


@contextmanager
def wide_area(*sides: str) -> Iterator[Wan]:
    """Two namespaces with nothing but a line between them, and their own loopback."""
    tag = f"wan{os.getpid()}"
    addresses = {side: f"10.201.0.{number}" for number, side in enumerate(sides, 1)}
    with ExitStack() as stack:
        devices = []
        for side, address in addresses.items():
            space, name = f"{tag}-{side}", f"{tag}{side}"[-15:]
            device = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
            stack.callback(os.close, device)
            devices.append(device)
            fcntl.ioctl(device, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADER))
            _ip("netns", "add", space)
            stack.callback(_ip, "netns", "delete", space)
            _ip("link", "set", name, "netns", space)
            for words in (
                ("address", "add", f"{address}/24", "dev", name),
                ("link", "set", name, "mtu", str(_MTU), "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", space, *words)
        yield Wan(addresses, devices, tag)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, check=True)
