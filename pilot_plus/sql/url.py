"""Where a database is: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`, as people write it."""

from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec


class Place(msgspec.Struct, frozen=True):
    """A database by its kind; `shown` names it for people, without its password."""

    kind: Literal["sqlite", "postgresql"]
    shown: str
    path: str = ""
    """SQLite's file."""
    dsn: str = ""
    """PostgreSQL's address, with everything that libpq understands (`sslmode`, several hosts, a password)."""

    def __repr__(self) -> str:
        """Show no secret."""
        return f"<{self.kind} at {self.shown}>"


def place_of(url: str) -> Place:
    """Read a database's URL; a driver suffix (`postgresql+asyncpg`) is accepted and ignored.

    Raises:
        ValueError: neither SQLite nor PostgreSQL, or no file. The message holds no password.
    """
    scheme, colon, rest = url.partition("://")
    kind = scheme.partition("+")[0]
    if colon and kind == "sqlite":
        return _sqlite(rest)
    if colon and kind in ("postgresql", "postgres"):
        return _postgresql(rest)
    found = f"{scheme[:20]}://…" if colon else "none"
    raise ValueError(f"url: expected sqlite:///FILE or postgresql://USER@HOST/NAME, found {found}")


def _sqlite(rest: str) -> Place:
    path = unquote(rest.partition("?")[0].removeprefix("/"))
    if not rest.startswith("/") or not path or path == ":memory:":
        raise ValueError("url: a SQLite database needs a file: sqlite:///pilot-plus.db, or sqlite:////var/lib/pp.db")
    if "\0" in path:
        raise ValueError("url: the file's name holds a NUL")
    return Place("sqlite", path, path=path)


def _postgresql(rest: str) -> Place:
    dsn = f"postgresql://{rest}"
    try:
        parts = urlsplit(dsn)
    except ValueError as error:
        raise ValueError("url: the host of the PostgreSQL address can't be read") from error
    hosts = parts.netloc.rpartition("@")[2]
    return Place("postgresql", f"{hosts or 'local socket'}{parts.path}", dsn=dsn)
