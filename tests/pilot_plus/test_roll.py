"""The roll: edges come and go with their sessions, and those of before a restart have time to come back."""

import asyncio
from contextlib import suppress

from pilot_plus.model import Health, Instance, Role, SpiffeId
from pilot_plus.roll import LOST_FOR, Roll
from pilot_plus.wire.edge import Edge
from registries.memory import Store


def edge(name: str) -> Edge:
    identity = SpiffeId(trust_domain="east.example", role=Role.EDGE, zone="vm", name=name)
    return Edge(identity=identity, address="10.0.0.1", outside="10.0.0.1", mesh_port=15443, http_port=15080)


async def test_an_edge_is_there_from_its_session_to_its_end():
    store = Store()
    roll = Roll("east", store)
    await roll.put(edge("edge-1"))
    assert list(store.records) == ["vm/edge-1"]
    await roll.drop("vm/edge-1")
    assert not store.records


async def test_an_edge_of_which_nothing_is_heard_is_shown_as_lost_for_a_day():
    store, now = Store(), [0.0]
    roll = Roll("east", store, lambda: now[0])
    await roll.put(edge("edge-1"))
    await roll.lose("vm/edge-1")
    assert health_of(store) == {"vm/edge-1": Health.CRITICAL}
    await roll.put(edge("edge-1"))
    assert health_of(store) == {"vm/edge-1": Health.PASSING}
    await roll.lose("vm/edge-1")
    await passing(roll)
    assert store.records
    now[0] += LOST_FOR + 1
    await passing(roll)
    assert not store.records


async def test_edges_of_before_a_restart_stay_until_they_have_had_time_to_come_back():
    store = Store()
    roll = Roll("east", store)
    roll.expect([edge("edge-1").as_instance("east"), edge("edge-2").as_instance("east")])
    assert health_of(store) == {"vm/edge-1": Health.PASSING, "vm/edge-2": Health.PASSING}
    await roll.put(edge("edge-2"))
    await passing(roll)
    assert health_of(store) == {"vm/edge-1": Health.CRITICAL, "vm/edge-2": Health.PASSING}


async def passing(roll: Roll) -> None:
    """Some time passes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.03):
            await roll.keep(0.01)


def health_of(store: Store) -> dict[str, Health]:
    held = {key: one.record for key, one in store.records.items()}
    return {key: record.health for key, record in held.items() if isinstance(record, Instance)}
