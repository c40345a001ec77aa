"""Peers: where hubs of other clusters read what this one exports.

- `feed`: what readers of equal terms get, and what has changed since when;
- `service`: one stream for each reader;
"""

from pilot_plus.servers.peer.feed import Feeds, feeding
from pilot_plus.servers.peer.service import PeerService

__all__ = ["Feeds", "PeerService", "feeding"]
