"""The hub: puts the parts together and runs them in one task group. The only package that loads registries.

- `hub`: the parts, and what runs;
- `sources`: everything that is read, from the configuration: registries, peers, and the edges that have a session;
- `recall`: what a hub that starts knows from its journal, and what it goes on keeping there;
- `discovery`: xDS and joining, at one address.
"""

from pilot_plus.hub.hub import run
from pilot_plus.hub.sources import probe, sources_of

__all__ = ["probe", "run", "sources_of"]
