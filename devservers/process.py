"""A process that we own: started on a leash, broken on purpose, ended by its id."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from devservers.network import HOST, free_port
from devservers.scratch import scratch_folder

# The kernel's leash (a signal when the parent dies) is tied to the thread that forked, so one thread that
# lives as long as we do forks every server: one started from a short-lived thread would die with it.
_SPAWNER = ThreadPoolExecutor(1, thread_name_prefix="devservers-spawner")
_POLL = 0.01
_GRACE = 10.0


class StartFailed(RuntimeError):  # noqa: N818 - it says what is wrong, like every name of ours
    """A server did not start; the text ends with the tail of its log."""


class Process:
    """One process with a folder and a log of its own; subclasses say what runs and when it is ready.

    Both `with` and `async with` start it and end it. All methods block, for a second or so: in a test whose
    event loop must go on meanwhile, `await asyncio.to_thread(server.start_again)`.
    """

    kind: ClassVar[str]
    start_within: ClassVar[float] = 30.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self) -> None:
        """Make the folder; nothing runs yet."""
        self.folder = scratch_folder(self.kind)
        self.log = self.folder / "log"
        self._child: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        """Show what it is and which process it has."""
        return f"<{self.kind} {f'running as {self.pid}' if self.is_running else 'not running'}>"

    @property
    def is_running(self) -> bool:
        """Say whether its process is there (a paused one is)."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The id of its process."""
        if self._child is None:
            raise ProcessLookupError(f"{self.kind} was never started")
        return self._child.pid

    def start(self) -> Self:
        """Start it and wait until it is ready."""
        if not self.is_running:
            self.folder.mkdir(exist_ok=True)
            self._prepare()
            self._child = _SPAWNER.submit(_spawn, self._command(), self._environment(), self.folder, self.log).result()
            self._await_ready()
        return self

    def kill(self) -> None:
        """End it with SIGKILL, and everything that it started."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it gracefully; after ten seconds, by force."""
        self.resume()
        self._end(self.stop_signal)

    def start_again(self) -> Self:
        """End it if it runs, and start it with the same data and port."""
        self.stop()
        return self.start()

    def pause(self) -> None:
        """Freeze it with SIGSTOP: its connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)
        _await_state("TZ", _family(self.pid) if self.is_running else [])

    def resume(self) -> None:
        """Let a frozen process go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End it by force and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log_tail(self, lines: int = 30) -> str:
        """Return the end of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _environment(self) -> Mapping[str, str]:
        return os.environ

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def _prepare(self) -> None:
        """Write what the command needs."""

    def _await_ready(self) -> None:
        deadline = time.monotonic() + self.start_within
        while not self._asks_ready():
            if not self.is_running or time.monotonic() > deadline:
                why = f"not ready after {self.start_within:g} s" if self.is_running else "it ended by itself"
                self.kill()
                raise StartFailed(f"{self.kind} did not start: {why}. The end of its log:\n{self.log_tail()}")
            time.sleep(_POLL)

    def _asks_ready(self) -> bool:
        try:
            return self.is_running and self._is_ready()
        except (OSError, ValueError):  # refused, cut off, or half an answer
            return False

    def _signal(self, number: signal.Signals) -> None:
        # Parents first: a frozen one starts nothing new.
        for pid in _family(self.pid) if self.is_running else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _end(self, number: signal.Signals) -> None:
        if self._child is None or not self.is_running:
            return
        family = _family(self._child.pid)
        if number == signal.SIGKILL:
            self._signal(number)
        else:
            self._child.send_signal(number)  # a graceful end is the parent's to organise
        try:
            self._child.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._child.wait()
        _await_state("Z", family)  # a database's helpers leave a moment after their parent

    def __enter__(self) -> Self:
        """Start it."""
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End it and remove its folder."""
        self.close()

    async def __aenter__(self) -> Self:
        """Start it while the event loop goes on."""
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """End it while the event loop goes on."""
        await asyncio.to_thread(self.close)


class Server(Process):
    """A process that listens on a port of 127.0.0.1 and keeps its data in a folder of its own."""

    def __init__(self) -> None:
        """Choose a port; it stays the same for the life of the object."""
        super().__init__()
        self.data = self.folder / "data"
        self.port = free_port()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """The address as a client of this server writes it."""
        return f"http://{self.address}"

    def wipe(self) -> Self:
        """Start it again on the same port with nothing in it, as after a lost disk."""
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)
        return self.start()

    def _prepare(self) -> None:
        self.data.mkdir(exist_ok=True)


def _spawn(command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    leash = shutil.which("setpriv")
    leashed = [leash, "--pdeathsig", "KILL", "--", *command] if leash else list(command)
    with log.open("ab") as output:
        return subprocess.Popen(
            leashed,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the tests, which then end their servers
        )


def _family(pid: int) -> list[int]:
    """Return the process and its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        state = _stat(int(entry.name))
        if state:
            children.setdefault(state[1], []).append(int(entry.name))
    family = [pid]
    for member in family:  # grows while we walk it
        family += children.get(member, [])
    return family


def _await_state(letters: str, pids: Sequence[int]) -> None:
    """Wait until each of them is in one of these states (T stopped, Z dead) or gone."""
    deadline = time.monotonic() + _GRACE
    while any((stat := _stat(pid)) and stat[0] not in letters for pid in pids) and time.monotonic() < deadline:
        time.sleep(_POLL)


def _stat(pid: int) -> tuple[str, int] | None:
    """Return a process's state letter and its parent's id."""
    try:
        letter, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (OSError, ValueError):
        return None
    return letter, int(parent)
