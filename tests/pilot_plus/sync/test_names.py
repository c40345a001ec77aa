"""Names and sync: whatever a configuration calls things, copies stay copies, and nothing flaps."""

import pytest

from tests.pilot_plus.sync.hubs import (
    Registries,
    configured,
    edited,
    ids,
    native,
    rule,
    running,
    until,
    until_quiet,
)
from tests.pilot_plus.sync.test_safety import stripping

ZONES = {"zk": "legacy", "consul": "vm"}
ALIASES = [{"name": "shop/orders", "services": ["vm/orders", "legacy/com.example.Orders"]}]
SHOP = {"services": ["shop/*"]}
BOTH_WAYS = [
    {**rule("there", "zk", "", select=SHOP), "to": {"registry": "consul", "name": "orders"}},
    {**rule("back", "consul", "", select=SHOP), "to": {"registry": "zk", "name": "com.example.Orders"}},
]


async def test_two_registries_hold_one_service_under_their_own_names_and_nothing_loops():
    registries = Registries(*ZONES)
    registries["zk"].write(native("com.example.Orders", "z"))
    registries["consul"].write(native("orders", "c"))
    config = configured(ZONES, BOTH_WAYS, names={"aliases": ALIASES})
    async with running(config, registries) as hub:
        await until_quiet(hub)
        assert [(one.name, one.id) for one in registries.copies("consul").values()] == [("orders", "z")]
        assert [(one.name, one.id) for one in registries.copies("zk").values()] == [("com.example.Orders", "c")]
        assert list(hub.holder.current.entries) == ["shop/orders"]
        writes = hub.writes
        registries["zk"].write(native("com.example.Orders", "z", weight=7))
        await until(lambda: [one.weight for one in registries.copies("consul").values()] == [7])
        await until_quiet(hub)
        assert hub.writes == writes + 1
        registries["zk"].remove("com.example.Orders/z")
        await until(lambda: not registries.copies("consul"))
        await until_quiet(hub)
        assert ids(registries.copies("zk")) == {"c"}


@pytest.mark.parametrize("conflicts", ["separate", {"separate": ["zk", "consul"]}])
async def test_registries_that_are_kept_apart_stay_in_step_under_their_suffixes(conflicts: object):
    registries = Registries("zk", "consul")
    registries["zk"].write(native("orders", "z"))
    registries["consul"].write(native("orders", "c"))
    config = configured({"zk": "vm", "consul": "vm"}, [rule("r", "zk", "consul")], names={"conflicts": conflicts})
    async with running(config, registries) as hub:
        await until(lambda: ids(registries.copies("consul")) == {"z"})
        await until_quiet(hub)
        writes = hub.writes
        edited(registries["consul"], "orders/c", weight=3)
        await until_quiet(hub)
        assert hub.writes == writes
        assert hub.status("r").copies == 1


async def test_a_rename_in_the_target_changes_no_copy_into_an_original():
    registries = Registries(*ZONES)
    registries["zk"].write(native("orders", "z"))
    renaming = [{"from": "*", "to": "shop/{1}-new"}]
    sections = [
        {"name": name, "kind": "memory", "zone": zone, "rename": renaming if name == "consul" else []}
        for name, zone in ZONES.items()
    ]
    renamed = configured(ZONES, [rule("there", "zk", "consul"), rule("back", "consul", "zk")], registries=sections)
    async with running(renamed, registries) as hub:
        await until(lambda: ids(registries.copies("consul")) == {"z"})
        await until_quiet(hub)
        assert not registries.copies("zk")
        assert set(hub.holder.current.entries) == {"legacy/orders", "shop/orders-new"}


async def test_copies_come_only_while_the_preferred_registry_has_nothing_healthy_and_never_flap():
    registries = Registries(*ZONES)
    registries["zk"].write(native("com.example.Orders", "z"))
    registries["consul"].write(native("orders", "c"))
    names = {"aliases": ALIASES, "conflicts": {"prefer": ["consul", "zk"]}}
    config = configured(ZONES, BOTH_WAYS[:1], names=names)
    async with running(config, registries) as hub:
        await until_quiet(hub)
        assert not registries.copies("consul")
        registries["consul"].remove("orders/c")
        await until(lambda: ids(registries.copies("consul")) == {"z"})
        await until_quiet(hub)
        assert ids(registries.copies("consul")) == {"z"}
        registries["consul"].write(native("orders", "c"))
        await until(lambda: not registries.copies("consul"))
        await until_quiet(hub)
        assert not registries.copies("consul")


async def test_unmarked_copies_are_nobodys_reason_to_prefer_a_registry():
    registries = Registries(*ZONES)
    stripping(registries, "consul")
    registries["zk"].write(native("com.example.Orders", "z"))
    names = {"aliases": ALIASES, "conflicts": {"prefer": ["consul", "zk"]}}
    async with running(configured(ZONES, BOTH_WAYS[:1], names=names), registries) as hub:
        await until(lambda: len(registries.copies("consul")) == 1)
        await until_quiet(hub)
        assert len(registries.copies("consul")) == 1
        assert hub.writes == 1
