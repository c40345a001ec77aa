"""The world: what xDS is made from, at one moment."""

import msgspec

from pilot_plus.catalog import Catalog
from pilot_plus.views.edges import Edges
from pilot_plus.views.topology import Topology
from pilot_plus.views.xds.tls import Domains


class World(msgspec.Struct, frozen=True, kw_only=True):
    """A catalog, and what decides who sees what of it."""

    catalog: Catalog
    topology: Topology
    edges: Edges
    domains: Domains = Domains()
