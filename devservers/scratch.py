"""Temporary folders that do not outlive their process, even one that was killed: the next process sweeps them."""

import atexit
import fcntl
import functools
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "pilot-plus-servers-"


def scratch_folder(kind: str) -> Path:
    """Make an empty folder for one server."""
    return Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=_own_folder()))


@functools.cache
def _own_folder() -> Path:
    _sweep(Path(tempfile.gettempdir()))
    fresh = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
    fresh.chmod(0o711)  # a database server that gave up root passes through
    lock = os.open(fresh / "lock", os.O_WRONLY | os.O_CREAT, 0o600)  # never closed: it is held as long as we live
    fcntl.flock(lock, fcntl.LOCK_EX)
    folder = fresh.rename(fresh.with_name(fresh.name[1:]))  # only now can a sweeper see it
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            with (folder / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # somebody's, and in use
