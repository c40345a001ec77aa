"""The folder that keeps what was brought: whole or absent, one writer at a time."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STAMP = ".complete"


class MissingServer(RuntimeError):  # noqa: N818 - it says what is wrong, like every name of ours
    """A program is neither on this machine nor in the cache; the text is one sentence that says what to do."""


def cache_folder() -> Path:
    """Return `$PILOT_PLUS_CACHE`, or `~/.cache/pilot-plus/servers`."""
    named = os.environ.get("PILOT_PLUS_CACHE")
    return Path(named).absolute() if named else Path.home() / ".cache" / "pilot-plus" / "servers"


@contextmanager
def locked() -> Iterator[Path]:
    """Make the cache folder and hold it for this process alone; others wait here."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def is_complete(item: Path, recipe: str) -> bool:
    """Say whether the item was filled to its end, by this very recipe."""
    try:
        return (item / STAMP).read_text() == recipe
    except OSError:
        return False


@contextmanager
def filling(item: Path, recipe: str) -> Iterator[Path]:
    """Yield an empty folder that becomes the item when the block succeeds, and vanishes when it fails."""
    fresh = Path(tempfile.mkdtemp(prefix=f".{item.name}-", dir=item.parent))
    try:
        yield fresh
        (fresh / STAMP).write_text(recipe)
        fresh.chmod(0o755)
        shutil.rmtree(item, ignore_errors=True)
        fresh.rename(item)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
