"""The hub: puts the parts together and runs them in one task group. The only package that loads registries.

- `hub`: the parts, and what runs;
- `sources`: everything that is read, from the configuration: registries, peers, and the edges that have a session;
- `recall`: what a hub that starts knows from its journal, and what it goes on keeping there;
- `discovery`: xDS and joining, at one address;
- `probe`: what can be said of a configuration before.
"""

from pilot_plus.hub.hub import run
from pilot_plus.hub.probe import probe, refuse_what_cannot_run, what_is_not_there
from pilot_plus.hub.sources import sources_of

__all__ = ["probe", "refuse_what_cannot_run", "run", "sources_of", "what_is_not_there"]
