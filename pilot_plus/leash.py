"""A leash: a process that the kernel ends when the thread that started it has gone, however that went."""

import os
import signal
import sys
from typing import Final

_LEASH: Final = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[1]))  # PR_SET_PDEATHSIG; it outlasts execv
if os.getppid() != int(sys.argv[2]):
    sys.exit("who started it has died")
os.execv(sys.argv[3], sys.argv[3:])
"""


def leashed(*command: str, by: signal.Signals = signal.SIGKILL) -> list[str]:
    """A command, made such that this signal ends its process with ours; its program is a path."""
    return [sys.executable, "-I", "-S", "-c", _LEASH, str(int(by)), str(os.getpid()), *command]
