"""Percent-encoding of parts of names: most need none, and to see that is ten times cheaper than to encode them."""

import re
from collections.abc import Callable
from urllib.parse import quote, unquote


def quoter(safe: str) -> Callable[[str], str]:
    """As `urllib.parse.quote` with these characters safe beside letters, digits and `_.-~`."""
    is_plain = re.compile(f"[A-Za-z0-9_.~{re.escape(safe)}-]*").fullmatch

    def quoted(text: str) -> str:
        return text if is_plain(text) else quote(text, safe=safe)

    return quoted


def unquoted(text: str) -> str:
    """The reverse."""
    return unquote(text) if "%" in text else text
