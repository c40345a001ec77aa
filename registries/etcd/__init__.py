"""etcd version 3: records by layout, read from one revision on and followed by a watch; written under our own leases.

- `settings`: what a configuration says, and which layouts are known;
- `client`: one endpoint: channel, token, calls, errors; `methods` are etcd's;
- `listing`: the whole truth at one revision, in pages;
- `following`: the watch: what happened since, and proof that the server is there;
- `records`: raw records into updates, pure; `claims` is for those that don't say just one instance;
- `progress`: how far a watch has come, and whether the history still has it;
- `copies`: what a write comes to, pure; `ownership` says whose a record is;
- `sink`: puts, drops and renews, in `transactions`, on `leases`, fenced by `locks`;
- `registry`: the door.
"""

from registries.etcd.registry import Etcd, connect
from registries.etcd.settings import Settings

__all__ = ["Etcd", "Settings", "connect"]
