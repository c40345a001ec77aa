"""The page about commands: what it shows is what they print."""

from pilot_plus.model import Health, Instance, Port, Put, Reset, instance
from tests.docs.pages import page, transcripts
from tests.pilot_plus.cli.calling import commanding
from tests.pilot_plus.servers.api.hub import Hub

CONFIG = """
cluster: east
listen: {http: "127.0.0.1:0"}
registries:
  - {name: zk, kind: zookeeper, zone: legacy}
  - {name: consul, kind: consul, zone: mesh, namespace: shop}
  - {name: own, kind: database, zone: mesh}
"""


def at(name: str, address: str, protocol: str, **more: object) -> Instance:
    ports = [Port("main", 8080, protocol)]
    made = instance(key=f"{name}/{address}", name=name, id=address, address=address, ports=ports)
    return instance(**{field: more.get(field, getattr(made, field)) for field in Instance.__struct_fields__})  # type: ignore[arg-type]


async def test_each_command_prints_what_the_page_says():
    shown = transcripts(page("docs/commands.md"))
    assert shown
    hub = Hub(CONFIG)
    dubbo = "com.example.OrderService:1.0.0"
    hub.say("zk", Reset(instances=[at(dubbo, f"10.1.0.{n}", "dubbo") for n in (1, 2)]))
    hub.say("consul", Reset(instances=[at("orders", "10.3.0.1", "http")]))
    hub.say("own", Reset())
    hub.say("own", Put(at("orders", "10.3.0.2", "grpc", namespace="shop", health=Health.CRITICAL)))
    hub.lose("zk")
    hub.time = 190.0
    async with commanding(hub) as call:
        for one in shown:
            got = await call(*one.words)
            assert one.is_what(got.out), got.out
