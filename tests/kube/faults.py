"""What can be made to go wrong with the fake API server, as it does with real ones."""

from typing import Literal

import msgspec

Cut = Literal["", "clean", "abort", "half_line"]


class Faults(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All of it; a new value takes the place of the whole old one."""

    delay: float = 0.0
    """Seconds before every answer."""
    status: int = 0
    """Answer everything with this status."""
    hang: bool = False
    """Half-open: connections are there, and nothing more is said on any of them."""
    cut_page: int = 0
    """Break the connection in the middle of that page of every list (1 is the first)."""
    expired_pages: bool = False
    """Every continue token is too old."""
    gone: Literal["", "status", "event"] = ""
    """Every watch is refused: 410 as a status, or as an ERROR event inside of a 200."""
    garbage: Literal["", "list", "watch"] = ""
    """What is sent is no JSON."""
    garbage_item: bool = False
    """Every list begins with an item that no client can read."""
    cut_watches: int = 0
    """Changed, it ends every open watch, in the way that `cut` says."""
    cut: Cut = "clean"
