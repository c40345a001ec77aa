"""The clients: who tells the API about streams of xDS. The hub stands behind it."""

from typing import Protocol

from pilot_plus.model import Viewer
from pilot_plus.views.explanation import ServedShape
from pilot_plus.views.proxies import ProxyDetail, ProxyList


class Clients(Protocol):
    """What is known about clients, now."""

    def all(self) -> ProxyList:
        """Every client."""
        ...

    def one(self, id_: str, /) -> ProxyDetail | None:
        """One client with what exactly it was sent."""
        ...

    def serving(self, host: str, viewer: Viewer, /) -> tuple[ServedShape, ...]:
        """The clients that look as the viewer does and follow the service of this host."""
        ...


class Nobody:
    """A hub that serves no xDS."""

    def all(self) -> ProxyList:
        """Nobody."""
        return ProxyList(proxies=())

    def one(self, _: str, /) -> ProxyDetail | None:
        """Nobody."""
        return None

    def serving(self, _: str, __: Viewer, /) -> tuple[ServedShape, ...]:
        """Nobody."""
        return ()
