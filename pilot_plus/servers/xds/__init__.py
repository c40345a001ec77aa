"""xDS: the address where Envoy, proxyless gRPC clients and edges get their configuration, and where they join.

    catalog ─▶ supplier ─▶ views.xds (stock) ─▶ roster ─▶ audience ─▶ client ─▶ stream ─▶ subscription
                                                                        ▲
    gRPC ─▶ address ─▶ service ── requests ─────────────────────────────┘── responses ─▶ gRPC

- `address`: the gRPC server; `service`: the discovery services on it, and who may call them;
- `supplier`: keeps what is served in step; `roster`, `audience`: who has a stream, and whom a change concerns;
- `client`, `stream`, `subscription`, `wanted`: one client, its types, one type, what it wants; pure but the first;
- `forms`, `rejection`: what differs between the two forms of xDS, and how the guilty resource is found;
- `report`: what is told about clients;
- `requests`, `responses`: bytes in, bytes out.
"""

from pilot_plus.servers.xds.address import Door, bind, is_plaintext, serving
from pilot_plus.servers.xds.report import Report
from pilot_plus.servers.xds.service import Discovery
from pilot_plus.servers.xds.supplier import Supplier

__all__ = ["Discovery", "Door", "Report", "Supplier", "bind", "is_plaintext", "serving"]
