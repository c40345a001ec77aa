"""Taken back: who may call, as matchers of the handshake, without the identities that were revoked.

A matcher can't say "but not": so a prefix under which somebody was revoked becomes the expression of everything else
that begins so. For `zone/vm/` without `ab` and `ac`:

    zone/vm/(?:[^a].*|a(?:[^bc].*|b(?:.+)|c(?:.+))?)?

It is a part of the handshake, and changing it drains no connection; lists of serial numbers can't be read where callers
of other clusters come too.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from pilot_plus.views.xds.callers import Caller

LONGEST: Final = 200
"""Characters behind a prefix by which somebody is told from others: who begins with as many is refused, too."""
_REST: Final = "\0"
_NOTHING: Final = r"[^\s\S]"
NOBODY: Final = {"exact": "spiffe://nobody.invalid/"}


def matchers(callers: Iterable[Caller], revoked: frozenset[str]) -> list[Mapping[str, Any]]:
    """What the URI in a certificate must match, as `StringMatcher`s: never none, for Envoy lets in everybody then."""
    found = [matcher for caller in callers if (matcher := _matcher(caller, revoked))]
    return found or [NOBODY]


def _matcher(caller: Caller, revoked: frozenset[str]) -> Mapping[str, Any] | None:
    if not caller.is_prefix:
        return None if caller.text in revoked else {"exact": caller.text}
    below = frozenset(_cut(one.removeprefix(caller.text)) for one in revoked if one.startswith(caller.text))
    if not below:
        return {"prefix": caller.text}
    return {"safe_regex": {"regex": re.escape(caller.text) + _others(below)}}


def _cut(word: str) -> str:
    return word if len(word) <= LONGEST else word[:LONGEST] + _REST


@lru_cache(maxsize=256)
def _others(words: frozenset[str]) -> str:
    """An expression for every text but these."""
    tails: dict[str, set[str]] = {}
    for word in words:
        if word:
            tails.setdefault(word[0], set()).add(word[1:])
    if not tails:
        return "(?:.+)"
    if _REST in tails:
        return _NOTHING
    heads = "".join(re.escape(head) for head in sorted(tails))
    parts = [f"[^{heads}].*", *(re.escape(head) + _others(frozenset(tails[head])) for head in sorted(tails))]
    return f"(?:{'|'.join(parts)})" + ("" if "" in words else "?")
