"""The registrar: who registers through the hub lives, in any registry, as long as heartbeats come."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from pilot_plus.catalog import Catalog, Holder, Standing
from pilot_plus.model import Health, Instance
from pilot_plus.ports import Done, Failed, Refused, Result
from pilot_plus.sync import Missing, Registrar
from registries.memory import Memory
from tests.pilot_plus.sync.hubs import Documents, Registries, configured, ids, native, running, until

MINE = native("orders", "a", namespace="shop", lease=1.0)


@asynccontextmanager
async def registrar(
    registries: Registries, documents: Documents | None = None, holder: Holder | None = None
) -> AsyncIterator[Registrar]:
    made = Registrar(registries.opened, documents or Documents(), holder or Holder(Catalog(epoch="e")), own="own")
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(made.run())
        try:
            yield made
        finally:
            task.cancel()


async def test_an_instance_is_written_where_the_caller_wants_it():
    registries = Registries("own", "zk")
    async with registrar(registries) as desk:
        name, outcome = await desk.put(MINE, "zk", "spring")
        assert (name, outcome) == ("zk", Done("shop/orders/a"))
        ((_, there),) = registries.copies("zk").items()
        assert (there.layout, there.address, there.lease) == ("spring", MINE.address, 1.0)
        assert not registries.held("own")


async def test_it_lives_as_long_as_heartbeats_come():
    registries = Registries("own", "zk")
    async with registrar(registries) as desk:
        await desk.put(msgspec.structs.replace(MINE, lease=2.0), "zk", "")
        began = registries["zk"].records["shop/orders/a"].expires or 0
        for _ in range(8):
            await asyncio.sleep(0.3)
            assert await desk.renew("shop", "orders", "a") == Done("shop/orders/a")
            registries["zk"].expire()
        assert (registries["zk"].records["shop/orders/a"].expires or 0) > began
        await until(lambda: not registries.held("zk"))
        assert isinstance(await desk.renew("shop", "orders", "a"), Missing)


async def test_it_goes_when_it_is_deregistered():
    registries = Registries("own", "zk")
    documents = Documents()
    async with registrar(registries, documents) as desk:
        await desk.put(MINE, "zk", "")
        assert await desk.drop("shop", "orders", "a", "zk") == Done("shop/orders/a")
        assert not registries.held("zk")
        assert isinstance(await desk.drop("shop", "orders", "a"), Missing)
        assert not documents.kinds["registration"]


class Slow(Memory):
    """A connection that answers late: what it was asked is done, and `answered` says when that is heard."""

    answered: asyncio.Event
    refusals = 0

    async def put(self, instances: Sequence[Instance]) -> Sequence[Result]:
        results = await super().put(instances)
        await self.answered.wait()
        return results

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        results = await super().drop(keys)
        await self.answered.wait()
        return results

    async def renew(self, keys: Sequence[str]) -> Sequence[Result]:
        results = await super().renew(keys)
        self.refusals += sum(isinstance(result, Refused) for result in results)
        return results


def slowed(registries: Registries, name: str) -> Slow:
    """Let this registry answer slowly."""
    connection = Slow(registries[name])
    connection.answered = asyncio.Event()
    connection.answered.set()

    @asynccontextmanager
    async def opened() -> AsyncIterator[Memory]:
        yield connection

    registries.opened[name] = opened
    return connection


async def test_what_is_deregistered_stays_away_though_its_lease_was_to_be_renewed_just_then():
    registries, documents = Registries("own", "zk"), Documents()
    connection = slowed(registries, "zk")
    async with registrar(registries, documents) as desk, asyncio.TaskGroup() as tasks:
        await desk.put(MINE, "zk", "")
        connection.answered.clear()
        dropping = tasks.create_task(desk.drop("shop", "orders", "a"))
        await until(lambda: not registries.held("zk"))
        await until(lambda: connection.refusals > 0)  # it is missing, and still registered
        connection.answered.set()
        assert await dropping == Done("shop/orders/a")
        assert isinstance(await desk.drop("shop", "orders", "a"), Missing)
        assert not registries.held("zk")
        assert not documents.kinds["registration"]


async def test_what_is_deregistered_before_its_registration_was_answered_goes_too():
    registries = Registries("own", "zk")
    connection = slowed(registries, "zk")
    async with registrar(registries) as desk, asyncio.TaskGroup() as tasks:
        connection.answered.clear()
        caller = tasks.create_task(desk.put(MINE, "zk", ""))
        await until(lambda: ids(registries.held("zk")) == {"a"})
        caller.cancel()  # who asked has gone
        dropping = tasks.create_task(desk.drop("shop", "orders", "a"))
        connection.answered.set()
        assert await dropping == Done("shop/orders/a")
        assert not registries.held("zk")


async def test_who_registers_again_while_he_is_deregistered_is_registered():
    registries, documents = Registries("own", "zk"), Documents()
    connection = slowed(registries, "zk")
    async with registrar(registries, documents) as desk, asyncio.TaskGroup() as tasks:
        await desk.put(MINE, "zk", "")
        connection.answered.clear()
        dropping = tasks.create_task(desk.drop("shop", "orders", "a"))
        await until(lambda: not registries.held("zk"))
        again = tasks.create_task(desk.put(msgspec.structs.replace(MINE, weight=7), "zk", ""))
        await asyncio.sleep(0)
        connection.answered.set()
        assert (await dropping, await again) == (Done("shop/orders/a"), ("zk", Done("shop/orders/a")))
        assert [one.weight for one in registries.held("zk").values()] == [7]
        assert len(documents.kinds["registration"]) == 1


async def test_after_a_restart_its_time_begins_anew_and_what_is_missing_is_written_again():
    registries = Registries("own", "zk")
    documents = Documents()
    async with registrar(registries, documents) as desk:
        await desk.put(msgspec.structs.replace(MINE, lease=30.0), "zk", "")
    registries["zk"].records.clear()
    async with registrar(registries, documents) as desk:
        await until(lambda: ids(registries.held("zk")) == {"a"})
        assert await desk.renew("shop", "orders", "a") == Done("shop/orders/a")


async def test_a_lost_connection_loses_no_registration():
    registries = Registries("own", "zk")
    async with registrar(registries) as desk:
        await desk.put(MINE, "zk", "")
        registries["zk"].records.clear()
        await until(lambda: ids(registries.held("zk")) == {"a"})


async def test_somebody_elses_record_is_left_alone():
    registries = Registries("own", "zk")
    theirs = msgspec.structs.replace(MINE, key="shop/orders/a", lease=0.0, weight=3)
    registries["zk"].write(theirs)
    documents = Documents()
    async with registrar(registries, documents) as desk:
        _, outcome = await desk.put(MINE, "zk", "")
        assert isinstance(outcome, Refused)
        assert registries.held("zk")["shop/orders/a"] == theirs
        assert not documents.kinds["registration"]


async def test_health_and_weight_can_be_changed():
    registries = Registries("own", "zk")
    async with registrar(registries) as desk:
        await desk.put(MINE, "zk", "")
        assert isinstance(await desk.change("shop", "orders", "a", Health.DRAINING, None), Done)
        assert isinstance(await desk.change("shop", "orders", "a", None, 7), Done)
        ((_, there),) = registries.copies("zk").items()
        assert (there.health, there.weight) == (Health.DRAINING, 7)
        assert isinstance(await desk.change("shop", "orders", "b", None, 7), Missing)


async def test_our_own_registry_keeps_its_ttls_itself():
    registries = Registries("own", "zk")
    documents = Documents()
    config = configured({"own": "mesh", "zk": "legacy"})
    async with running(config, registries) as hub, registrar(registries, documents, hub.holder) as desk:
        assert await desk.put(msgspec.structs.replace(MINE, lease=30.0), None, "") == ("own", Done("shop/orders/a"))
        assert "registration" not in documents.kinds
        assert await desk.renew("shop", "orders", "a") == Done("shop/orders/a")
        await until(lambda: "shop/orders" in hub.holder.current.entries)
        assert isinstance(await desk.renew("shop", "orders", "b"), Missing)
        assert isinstance(await desk.change("shop", "orders", "a", None, 7), Done)
        assert isinstance(await desk.drop("shop", "orders", "a"), Done)
        assert not registries.held("own")
        await until(lambda: "shop/orders" not in hub.holder.current.entries)
        assert isinstance(await desk.drop("shop", "orders", "a"), Missing)


async def test_what_was_written_is_known_before_the_catalog_shows_it():
    registries = Registries("own")
    async with registrar(registries) as desk:  # its catalog never hears anything
        await desk.put(msgspec.structs.replace(MINE, lease=30.0), None, "")
        assert isinstance(await desk.change("shop", "orders", "a", Health.DRAINING, None), Done)
        assert isinstance(await desk.change("shop", "orders", "a", None, 7), Done)
        ((_, there),) = registries.copies("own").items()
        assert (there.health, there.weight) == (Health.DRAINING, 7)
        assert isinstance(await desk.drop("shop", "orders", "a"), Done)
        assert isinstance(await desk.drop("shop", "orders", "a"), Missing)
        assert isinstance(await desk.change("shop", "orders", "a", None, 8), Missing)


async def test_a_registry_that_is_not_there_is_said():
    async with registrar(Registries("own", "zk")) as desk:
        _, outcome = await desk.put(MINE, "nosuch", "")
        assert outcome == Missing("there is no registry 'nosuch'; there are: own, zk")


async def test_a_registry_that_is_down_is_a_failure_that_can_be_tried_again():
    registries = Registries("own", "zk")
    registries["zk"].fail("down")
    async with registrar(registries) as desk, asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(desk.put(MINE, "zk", ""))
        await asyncio.sleep(0)
        registries["zk"].heal()
        _, outcome = await asked
        assert isinstance(outcome, Done | Failed)
        await until(lambda: ids(registries.held("zk")) == {"a"})


async def test_nobody_is_unknown_before_what_was_registered_is_read():
    registries = Registries("own", "zk")
    registries["own"].fail("down")
    config = configured({"own": "mesh", "zk": "legacy"})
    async with running(config, registries) as hub, registrar(registries, Documents(), hub.holder) as desk:
        for asked in (
            desk.renew("shop", "orders", "a"),
            desk.drop("shop", "orders", "a"),
            desk.change("shop", "orders", "a", None, 7),
        ):
            assert await asked == Failed("what was registered before is not read yet: try again")
        registries["own"].heal()
        await until(lambda: hub.holder.current.sources["own"].standing is Standing.SYNCED)
        assert isinstance(await desk.drop("shop", "orders", "a"), Missing)
