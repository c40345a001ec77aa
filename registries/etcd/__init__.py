"""etcd version 3: records by layout, read from one revision on and followed by a watch; written under our own leases.

settings   what a configuration says, and which layouts are known
client     one endpoint: channel, token, calls, errors
listing    the whole truth at one revision, in pages
following  the watch: what happened since, and proof that the server is there
records    raw records into updates, pure
progress   how far a watch has come, and whether the history still has it
registry   the source and the sink
"""

from registries.etcd.registry import Etcd, connect
from registries.etcd.settings import Settings

__all__ = ["Etcd", "Settings", "connect"]
