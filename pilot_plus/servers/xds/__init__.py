"""xDS: the address where Envoy, proxyless gRPC clients and edges get their configuration, and where they join.

- `address`: the gRPC server.
"""

from pilot_plus.servers.xds.address import is_plaintext, serving

__all__ = ["is_plaintext", "serving"]
