"""The HTTP API: what the catalog answers, as it changes, and registration.

    config, holder, desk ──▶ context ──▶ handlers (reading, watch, registration) ◀── routes ──▶ openapi
                                              ▲
    a request ──▶ protocol ──▶ app ──▶ door ──┘

`serving` runs it on a socket; `desk` is what the hub must offer for what writes and operates.
"""

from pilot_plus.servers.api.app import Api, api_of
from pilot_plus.servers.api.context import Context
from pilot_plus.servers.api.desk import Conflict, Desk, Outcome, Placed, Steering, Unknown
from pilot_plus.servers.api.door import Door
from pilot_plus.servers.api.server import listening_socket, serving

__all__ = [
    "Api",
    "Conflict",
    "Context",
    "Desk",
    "Door",
    "Outcome",
    "Placed",
    "Steering",
    "Unknown",
    "api_of",
    "listening_socket",
    "serving",
]
