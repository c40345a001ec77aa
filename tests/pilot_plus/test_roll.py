"""The roll: edges come and go with their sessions, and those of before a restart have time to come back."""

from pilot_plus.model import Role, SpiffeId
from pilot_plus.roll import Roll
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


async def test_edges_of_before_a_restart_stay_until_they_have_had_time_to_come_back():
    store = Store()
    roll = Roll("east", store)
    roll.expect([edge("edge-1").as_instance("east"), edge("edge-2").as_instance("east")])
    assert set(store.records) == {"vm/edge-1", "vm/edge-2"}
    await roll.put(edge("edge-2"))
    await roll.wait(0)
    assert set(store.records) == {"vm/edge-2"}
