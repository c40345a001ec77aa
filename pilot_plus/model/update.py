"""An update: what a source says.

A watch begins with a `Reset`, even when the registry is empty, or with `Resumed` where the source can prove that it
has missed nothing. What follows are single changes:

    Reset(instances=[a, b])     the whole truth; what is not in it is gone
    Skipped("/x", "no JSON")    a record of that truth that says nothing; skips follow the Reset that they belong to
    Put(c)  Put(b2)  Drop("a")  the truth is now b2, c
    Skipped("/x", "")           the record is readable now, or gone
    Alive("1047")               still here, and has seen everything up to its own mark 1047
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from pilot_plus.model.instance import Instance
from pilot_plus.model.service import Service


class Reset(msgspec.Struct, frozen=True):
    """The whole truth, from a complete list: every page, every sub-request."""

    services: Sequence[Service] = ()
    instances: Sequence[Instance] = ()


class Resumed(msgspec.Struct, frozen=True):
    """The watch goes on where `after` left it; nothing between was missed."""


class Put(msgspec.Struct, frozen=True):
    """A record is new or has changed."""

    record: Instance | Service


class Drop(msgspec.Struct, frozen=True):
    """The record of that key, instance or service, is gone; an unknown key is no error.

    `explicit` says that somebody deregistered it in so many words: guards let it pass.
    """

    key: str
    explicit: bool = False


class Skipped(msgspec.Struct, frozen=True):
    """The record at a place can't be used, and why; an empty reason takes an earlier skip of that place back.

    `reason` is one line for people; quote hostile text with `!r` and cut it.
    """

    place: str
    reason: str


class Alive(msgspec.Struct, frozen=True):
    """The source is in step up to `progress`: opaque, for `watch(after=…)`; empty if it can't resume."""

    progress: str = ""


Update: TypeAlias = Reset | Resumed | Put | Drop | Skipped | Alive
