"""The relay: xDS between the hub and the Envoys of this agent.

- `shelf`: what the hub says, and what an Envoy has acknowledged; pure;
- `stream`: one Envoy's delta stream, pure;
- `relay`: the streams around the shelf, pure;
- `server`, `hub`: the network on either side;
- `disk`: the shelf on disk.
"""

from edge_sidecar.relay.relay import Relay

__all__ = ["Relay"]
