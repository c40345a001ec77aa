"""Stocks and supplies over a world, and what is in them."""

from typing import Any

from pilot_plus.model import Speaks
from pilot_plus.views.xds.listener import OUTBOUND
from pilot_plus.views.xds.profile import Kind, Profile
from pilot_plus.views.xds.resource import Resource, Type
from pilot_plus.views.xds.stock import Stock
from pilot_plus.views.xds.supply import Supply
from tests.pilot_plus.views.world import World
from tests.pilot_plus.views.worlds import NAMES
from tests.pilot_plus.views.xds import reading
from tests.pilot_plus.views.xds.reading import read

ORDERS = "http.orders.legacy.mesh"


def stock_of(world: World) -> Stock:
    stock = Stock(world.catalog, world.topology)
    stock.carry(world.edges.carrying)
    return stock


def supply_of(world: World, zone: str, kind: Kind = Kind.ENVOY, **fields: Any) -> Supply:
    return stock_of(world).of(profile(world, zone, kind, **fields))


def profile(world: World, zone: str, kind: Kind = Kind.ENVOY, *, certified: bool = True, **fields: Any) -> Profile:
    speaks = Speaks.GRPC if kind is Kind.GRPC else Speaks.MESH
    fields = {"outbound": "127.0.0.1:15001", **fields} if kind is Kind.ENVOY else fields
    return Profile(kind=kind, viewer=world.viewer(zone, speaks, certified=certified), **fields)


def endpoints(supply: Supply, name: str) -> list[tuple[int, str, int, int, int]]:
    return sorted(reading.endpoints_in(read(supply, Type.ENDPOINTS, name)))


# ------------------------------------------------------------------------------------------------ properties

DOORS = tuple((f"shop/{name}", f"127.0.0.1:{7000 + n}") for n, name in enumerate(NAMES))


def everything(supply: Supply) -> dict[tuple[Type, str], Resource]:
    """All that an Envoy would fetch, following the names that it is told."""
    wanted = [(type_, name) for type_ in (Type.CLUSTER, Type.LISTENER) for name in supply.names(type_)]
    wanted += [(Type.ENDPOINTS, name) for name in supply.names(Type.CLUSTER)]
    found = {key: supply.get(*key) for key in (*wanted, (Type.ROUTES, OUTBOUND))}
    assert None not in found.values()
    return {key: one for key, one in found.items() if one is not None}
