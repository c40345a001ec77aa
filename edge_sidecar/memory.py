"""Memory: an agent runs beside what people really want to run, and gives back what it doesn't need.

The C library keeps an arena of its own for each thread, and gRPC has many; what was freed in them stays resident. One
arena is enough for a process that hardly does anything at once, and after each configuration it is trimmed.
"""

import ctypes
import gc
from typing import Final

_LIBRARY: Final = ctypes.CDLL(None)
_M_ARENA_MAX: Final = -8
"""Source: malloc.h of the GNU C library; other libraries have neither of these functions."""


def be_frugal() -> None:
    """Use one arena. To be called before the first thread."""
    if hasattr(_LIBRARY, "mallopt"):
        _LIBRARY.mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Give what is free to the system."""
    gc.collect()
    if hasattr(_LIBRARY, "malloc_trim"):
        _LIBRARY.malloc_trim(0)
