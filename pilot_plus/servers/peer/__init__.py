"""Peers: where hubs of other clusters read what this one exports.

- `feed`: what readers of equal terms get, and what has changed since when;
- `speech`: what one reader is told, word by word;
- `service`: one stream for each reader;
- `readers`: who reads now;
"""

from pilot_plus.servers.peer.feed import Feeds, feeding
from pilot_plus.servers.peer.service import PeerService

__all__ = ["Feeds", "PeerService", "feeding"]
