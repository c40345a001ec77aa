"""The settings of our own registry."""

from urllib.parse import urlsplit

import msgspec

from pilot_plus.sql import place_of


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where our own registry lies; it is made there if it isn't there yet."""

    url: str = ""
    """`sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`. Left out, it is the journal's database."""

    def __post_init__(self) -> None:
        """Refuse what can't be opened, before anything starts."""
        if self.url:
            place_of(self.url)

    def __repr__(self) -> str:
        """Show no password."""
        return f"Settings(url={self.shown!r})"

    @property
    def shown(self) -> str:
        """The URL for people: without its password."""
        return f"{urlsplit(self.url).scheme}://{place_of(self.url).shown}" if self.url else ""
