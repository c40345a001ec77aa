"""How the records of a layout lie in a tree of nodes, ZooKeeper's: what is a directory, what is a record."""

from enum import Enum
from functools import lru_cache
from typing import Final, Protocol, runtime_checkable

import msgspec

from pilot_plus.model import Instance
from registries.layouts.dubbo_rules import Rule
from registries.layouts.layout import Layout, Raw

MAX_SEGMENT: Final = 1024


class Place(Enum):
    """What a node at a path is to a layout."""

    ELSEWHERE = "of no interest, with everything below it"
    DIRECTORY = "records or directories lie below it"
    NAME = "a record: all of it is in the node's name"
    DATA = "a record: it is in the node's data"
    RULE = "something that changes what other records say, in the node's name or data"


@runtime_checkable
class TreeLayout(Layout, Protocol):
    """A layout of ZooKeeper. `decode` of a directory that stands for a service gives that `Service`."""

    def __hash__(self) -> int:
        """Layouts are frozen values."""
        ...

    @property
    def roots(self) -> tuple[str, ...]:
        """The paths below which everything of it lies; `root` is the first."""
        ...

    def place(self, path: str) -> Place:
        """Say what the node at a path at or below one of the roots is."""
        ...

    def directory(self, key: str) -> str | None:
        """The directory in which the nodes of a record lie; None if no instance of this layout has that key."""
        ...


@runtime_checkable
class Ruled(Protocol):
    """A layout with rules: records that change what other records say."""

    def rule(self, raw: Raw) -> Rule | None:
        """Read a node whose place is `RULE`; None where it changes nothing that we honour.

        Raises:
            ValueError: it should be a rule, but can't be used.
        """
        ...


class Companion(msgspec.Struct, frozen=True):
    """A durable node that readers need beside a record; with `joins` its data is a list that ours is joined to."""

    path: str
    data: bytes
    joins: bool = False


@runtime_checkable
class Accompanied(Protocol):
    """A layout whose records are of no use alone."""

    def companions(self, instance: Instance) -> tuple[Companion, ...]:
        """What must be there before the instance. It is shared by instances, and stays when they go.

        Raises:
            ValueError: the layout can't hold the instance.
        """
        ...


@lru_cache(maxsize=256)
def accompanied(layout: TreeLayout) -> Accompanied | None:
    """The layout, if it is one of those; asked once, for to ask a protocol costs more than to encode a record."""
    return layout if isinstance(layout, Accompanied) else None


class Rooted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A layout whose records lie below one node, which the option `root` names."""

    root: str

    def __post_init__(self) -> None:
        set_root(self)

    @property
    def roots(self) -> tuple[str, ...]:
        """The nodes below which records lie."""
        return (self.root,)


def set_root(layout: msgspec.Struct, field: str = "root") -> None:
    """Bring a layout's root into its canonical form while the layout is made: `/a/b`, or empty for the whole tree.

    Raises:
        ValueError: an empty part, `.` or `..`, or a control character.
    """
    root: str = getattr(layout, field)
    parts = root.strip("/").split("/") if root.strip("/") else []
    if any(part in ("", ".", "..") or not part.isprintable() for part in parts):
        raise ValueError(f"{field} {root!r}: expected a path such as /company/services")
    msgspec.structs.force_setattr(layout, field, "".join(f"/{part}" for part in parts))


def below(root: str, path: str) -> list[str] | None:
    """The parts of a path below a root, none for the root itself; None where it lies elsewhere."""
    if path == (root or "/"):
        return []
    if not path.startswith(f"{root}/"):
        return None
    return path[len(root) + 1 :].split("/")


def segment(text: str) -> str:
    """A name as one part of a path that can't leave its directory: `/` and `%` are percent-encoded.

    Raises:
        ValueError: ZooKeeper can't hold it: empty, `.`, `..`, too long, or characters that no path may have.
    """
    if text in ("", ".", "..") or len(text) > MAX_SEGMENT:
        raise ValueError(f"{text[:100]!r} can't be a node's name")
    if any(_is_forbidden(c) for c in text):
        raise ValueError(f"{text[:100]!r} holds a character that a node's name can't have")
    return text.replace("%", "%25").replace("/", "%2F")


def _is_forbidden(c: str) -> bool:
    """Say whether ZooKeeper's `PathUtils` refuses it; beyond the first plane Java sees two surrogates."""
    return c <= "\x1f" or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\uf8ff" or c >= "\ufff0"
