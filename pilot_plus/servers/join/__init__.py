"""Joining: the service by which edges and clients get certificates, and edges say how they are.

It stands on the xDS address beside the discovery services: `JoinService.handler()` is added to the same gRPC server.
"""

from pilot_plus.servers.join.ports import Edges, Gate
from pilot_plus.servers.join.service import JoinService

__all__ = ["Edges", "Gate", "JoinService"]
