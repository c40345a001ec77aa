"""The page about names: its configuration is taken, and each of its commands prints what it says."""

import msgspec

from pilot_plus.config import parse
from pilot_plus.model import Health, Instance, Port, Reset, Service, instance
from tests.docs.pages import blocks, page, transcripts
from tests.pilot_plus.cli.calling import commanding
from tests.pilot_plus.servers.api.hub import Hub

PAGE = page("docs/names.md")
DUBBO = "com.example.OrderService:1.0.0"


def record(key: str, name: str, id_: str, address: str, port: Port, **fields: object) -> Instance:
    made = instance(key=key, name=name, id=id_, address=address, ports=[port])
    return msgspec.structs.replace(made, **fields)


def hub() -> Hub:
    (text,) = blocks(PAGE, "yaml")
    made = Hub(text.replace("cluster: east", 'cluster: east\nlisten: {http: "127.0.0.1:0"}'))
    key = "/dubbo/com.example.OrderService:1.0.0@dubbo://10.1.0.7:20880"
    dubbo = record(key, DUBBO, "10.1.0.7:20880", "10.1.0.7", Port("dubbo", 20880, "dubbo"), layout="dubbo")
    user = Service(key="/services/user-app", name="user-app", aliases=("com.example.UserService",))
    made.say("zk", Reset(services=[user], instances=[dubbo]))
    orders = record("orders/node-1/orders-1", "orders", "orders-1", "10.3.0.4", Port("http", 8080, "http"))
    made.say("consul", Reset(instances=[msgspec.structs.replace(orders, health=Health.CRITICAL)]))
    naming = record("services/user.rpc/1", "user.rpc", "1", "192.168.0.9", Port("grpc", 9000, "grpc"))
    made.say("etcd", Reset(instances=[naming]))
    return made


async def test_each_command_prints_what_the_page_says():
    shown = transcripts(PAGE)
    assert len(shown) == 5
    async with commanding(hub()) as call:
        for one in shown:
            got = await call(*one.words)
            assert one.is_what(got.out or got.err), f"{one.words}:\n{got.out}{got.err}"


async def test_a_name_that_the_mapping_gives_leads_to_the_application():
    async with commanding(hub()) as call:
        assert (await call("explain", "legacy/com.example.UserService")).out.startswith("legacy/user-app (")


def test_every_policy_that_the_page_names_is_one():
    (text,) = blocks(PAGE, "yaml")
    for policy in ("merge", "{prefer: [consul, zk]}", "separate", "{separate: [etcd]}"):
        assert f"`{policy}`" in PAGE
        assert parse(text.replace("{prefer: [consul, zk]}", policy), {}).names.conflicts
