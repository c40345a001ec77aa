"""Place: what an agent holds for itself alone, its data folder and its address."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Busy(Exception):  # noqa: N818 - it says what is wrong, like every name of ours
    """Another agent has this data folder, or this address."""


@contextmanager
def data_folder(data: Path) -> Iterator[Path]:
    """The data folder for this agent alone, by a name that is short enough for sockets.

    Raises:
        Busy: another agent works with it.
        OSError: it can't be used.
    """
    try:
        (data / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data / "run" / "lock").open("w")
    except OSError as error:
        raise OSError(f"{data} can't be the data folder: {error}; name another one with --data") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"another agent works with {data}: give each its own --data") from error
        number = os.open(data, os.O_PATH | os.O_DIRECTORY)
        try:
            yield Path(f"/proc/self/fd/{number}")
        finally:
            os.close(number)


@contextmanager
def own_address(address: str) -> Iterator[None]:
    """The address for this agent alone.

    Envoys share their ports, so that one can take over from another: the kernel would let two agents share them too,
    and give each a part of the other's callers. An abstract socket stands for the address: like that it belongs to
    one network namespace, and it ends with its process.

    Raises:
        Busy: another agent is there.
        OSError: it is no address of this machine.
    """
    family, kind, _, _, place = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]
    with socket.socket(family, kind) as probe:
        try:
            probe.bind(place)
        except OSError as error:
            raise OSError(f"{address} is no address of this machine: name one with --address") from error
    with socket.socket(socket.AF_UNIX) as lock:
        try:
            lock.bind(f"\0pilot-plus/edge/{address}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise Busy(f"another agent is at {address}: give each its own --address") from error
        yield
