"""Status: what an agent says of itself in its data folder, for `edge-sidecar status`."""

import fcntl
import threading
from pathlib import Path
from typing import Final

import msgspec

PLACE: Final = "run/status.json"


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent is."""

    pid: int
    """0: it has ended."""
    name: str
    zone: str
    address: str
    identity: str
    hub: str
    session: bool
    """Whether the hub hears it."""
    trouble: str
    """One line; empty: all is well."""
    draining: bool
    certificate_expires: str
    envoy_version: str
    envoy_restarts: int
    envoy_serves: bool
    carries: list[str]
    """`SIDE|NAMESPACE/NAME|PORT`."""

    @property
    def state(self) -> str:
        """One word."""
        if not self.pid:
            return "ended"
        if not self.envoy_serves:
            return "without Envoy"
        return "draining" if self.draining else "ready"


class Board:
    """Where an agent says how it is. Threads may write at once: each finds a whole file, and the last word stays."""

    def __init__(self, data: Path) -> None:
        self._place = data / PLACE
        self._turn = threading.Lock()
        self._is_over = False

    def write(self, status: Status) -> None:
        """Replace what is said; nothing is said any more after a status without a process.

        Raises:
            OSError: it can't be written.
        """
        made = self._place.with_suffix(".new")
        with self._turn:
            if self._is_over:
                return
            made.write_bytes(msgspec.json.format(msgspec.json.encode(status), indent=1))
            made.replace(self._place)
            self._is_over = not status.pid


def read_status(data: Path) -> Status | None:
    """What the agent of a data folder says; None if there never was one. A dead one's says that it has ended."""
    try:
        status = msgspec.json.decode((data / PLACE).read_bytes(), type=Status)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
    return status if _is_locked(data) else msgspec.structs.replace(status, pid=0, session=False, envoy_serves=False)


def _is_locked(data: Path) -> bool:
    """Whether an agent holds the lock: a process id alone may be another program's by now."""
    try:
        with (data / "run" / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
