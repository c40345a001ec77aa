"""Fellows: the other copies of the hub that share our journal, as far as registrations go.

Each registration is held by one copy, which renews its lease. A heartbeat that comes to another copy is handed on
through the journal, as a wish; what a copy held that is gone, the first of those who are there goes on with.

    hub 1 holds shop/orders/a      heartbeat ─▶ hub 2 ─ wish ─▶ journal ─ within a second ─▶ hub 1
    hub 1 is gone                  hub 2 holds shop/orders/a, and its TTL begins anew
"""

import secrets
from collections.abc import Collection, Iterable, Iterator
from typing import Final, Protocol, TypeVar

import msgspec

from pilot_plus.sync.branch import Name, Registration
from pilot_plus.sync.index import Document, Documents

HELD: Final = "registration"
WISHES: Final = "registration-wish"

S = TypeVar("S", bound=msgspec.Struct)


class Presence(Protocol):
    """Who is there."""

    @property
    def number(self) -> int:
        """Ours."""
        ...

    async def present(self) -> frozenset[int]:
        """The numbers of all who are there, ours among them. Raises OSError."""
        ...


class Alone:
    """The presence of a hub that has no copies; after a restart it is another one."""

    def __init__(self) -> None:
        self.number = 1 + secrets.randbelow(2**31 - 1)

    async def present(self) -> frozenset[int]:
        """Only we are there."""
        return frozenset((self.number,))


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants of a registration that another copy holds: that it lives on, changes, or goes."""

    name: Name
    becomes: Registration | None = None
    goes: bool = False


class News(msgspec.Struct, frozen=True):
    """What has happened among the copies."""

    left_to_us: tuple[Registration, ...] = ()
    not_ours: tuple[Name, ...] = ()
    """What we held, and another copy does now, or nobody."""
    wishes: tuple[Wish, ...] = ()


class Fellows:
    """What the others hold."""

    def __init__(self, documents: Documents, presence: Presence) -> None:
        self.elsewhere: dict[Name, Registration] = {}
        """What is held by others who are there."""
        self._documents = documents
        self._presence = presence
        self._read_up_to = -1
        self._present = frozenset[int]()

    @property
    def number(self) -> int:
        """Ours."""
        return self._presence.number

    async def look(self, held: Collection[Name]) -> News:
        """Read what is new; `held`: what we hold.

        Raises:
            OSError: the journal can't be read.
        """
        present, now = await self._presence.present(), await self._documents.revision()
        is_nothing_new = now == self._read_up_to or len(present) == 1  # what only we can have written is no news
        if is_nothing_new and present == self._present:
            return News()
        self._present = present
        held = frozenset(held)  # before the list: what is noted meanwhile is not missing in it
        listed = {one.name: one for one in _decoded(await self._documents.list(HELD), Registration)}
        others = {name: one for name, one in listed.items() if one.holder != self.number}
        is_first = self.number == min(present)
        mine = {name: one for name, one in others.items() if is_first and one.holder not in present}
        self.elsewhere = {name: one for name, one in others.items() if name not in mine}
        not_ours = [name for name in held if name not in listed or listed[name].holder != self.number]
        wishes = await self._wishes(held) if self._read_up_to >= 0 else []
        self._read_up_to = now
        return News(tuple(mine.values()), tuple(not_ours), tuple(wishes))

    async def ask(self, wish: Wish) -> None:
        """Hand a wish on to who holds it.

        Raises:
            OSError: the journal can't be written.
        """
        await self._documents.write(WISHES, {document_of(wish.name): msgspec.json.encode(wish)})

    async def _wishes(self, held: Collection[Name]) -> list[Wish]:
        """What is wanted of what we hold; each is told once."""
        changed = _decoded(await self._documents.changed(WISHES, self._read_up_to), Wish)
        wishes = [wish for wish in changed if wish.name in held]
        if wishes:
            await self._documents.write(WISHES, {}, [document_of(wish.name) for wish in wishes])
        return wishes


def document_of(name: Name) -> str:
    """The key of a registration's documents."""
    return msgspec.json.encode(name).decode()


def _decoded(documents: Iterable[Document], kind: type[S]) -> Iterator[S]:
    """What can be read of them; the rest is nobody's."""
    for document in documents:
        try:
            yield msgspec.json.decode(document.payload, type=kind)
        except msgspec.MsgspecError:
            continue
