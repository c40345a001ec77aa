"""Our own registry: instances in SQLite or PostgreSQL, with leases that are renewed by heartbeats.

`registry` connects it, `household` is what those who connect share; `log` reads it, `writer` and `keeper` write it,
under `locks`; `record` says what a row holds, `leases` whose time has passed. Its tables and the triggers that log
every change are made by `migrations`.
"""

from registries.database.record import key_of
from registries.database.registry import connect
from registries.database.settings import Settings

__all__ = ["Settings", "connect", "key_of"]
