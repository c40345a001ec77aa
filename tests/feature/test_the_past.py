"""History, as a user has it: what happened in real registries, over a death of the hub, by HTTP and command."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from devservers import Etcd
from pilot_plus.journal.rows import rows_in
from tests.feature.hub import Hub, hub
from tests.feature.test_one_live_catalog import OWN, ZONES, addresses_in, etcd_registry, write
from tests.pilot_plus.cli.calling import Command

ORDER = {
    "namespace": "shop",
    "name": "orders",
    "id": "orders-1",
    "address": "10.3.0.4",
    "ports": [{"name": "http", "number": 8080, "protocol": "http"}],
    "ttl": "1h",
}


async def told(running: Hub, service: str, *texts: str) -> list[str]:
    """Wait until the end of the timeline is this."""

    return list(await running.until(lambda: lines_of(running, service), lambda found: found[-len(texts) :] == [*texts]))


async def lines_of(running: Hub, service: str) -> list[str]:
    """The timeline."""
    answer = await running.get(f"/services/{service}/history")
    return [f"{line['registry']}: {line['text']}" for line in answer.get("timeline", ())]


async def until_written(running: Hub, journal: Path, what: bytes) -> None:
    """History and records in a hub's journal, a file, say so: what is shown is written within a second."""

    async def written() -> bool:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
            batches = [rows_in(row[0]) for row in connection.execute("SELECT payload FROM history_batches")]
            records = [bytes(row[0]) for row in connection.execute("SELECT payload FROM journal_records")]
        told = any(what in bytes(row) for batch in batches if batch for _, row in batch.rows)
        return told and any(what in record for record in records)

    await running.until(written, bool)


async def register(running: Hub, name: str, address: str) -> None:
    assert (await running.post("/instances", {**ORDER, "id": name, "address": address})).status_code == 201


async def test_what_was_registered_drained_and_weighed_is_told_and_was_so(tmp_path: Path):
    async with hub(tmp_path, zones=ZONES, registries=[OWN]) as running:
        await running.until_state("own", "synced")
        assert (await running.post("/instances", ORDER)).status_code == 201
        await told(running, "shop/orders", "own: orders-1 came (10.3.0.4)")
        came = (await running.get("/services/shop/orders/history"))["changes"][-1]["time"]
        for change in ({"weight": 30}, {"health": "draining"}):
            assert (await running.patch("/instances/shop/orders/orders-1", change)).status_code == 204
        await told(
            running,
            "shop/orders",
            "own: orders-1: weight 100 → 30",
            "own: orders-1: health passing → draining",
        )
        then = await running.get(f"/services/shop/orders/history?at={came}")
        assert [(one["weight"], one["health"], one["stale"]) for one in then["instances"]] == [(100, "passing", False)]
        assert [change["change"] for change in then["changes"]] == ["came"]
        shown = await Command(running.url)("history", "shop/orders", "--at", came)
        assert (shown.code, shown.err) == (0, "")
        assert "1 of 1 passing" in shown.rows[0][0]


async def test_history_outlives_the_hub_and_says_what_happened_while_it_was_away_or_what_its_death_took(tmp_path: Path):
    with Etcd() as etcd:
        write(etcd, "orders", *addresses_in(3))
        running = Hub(tmp_path, zones=ZONES, registries=[OWN, etcd_registry(etcd)])
        try:
            running.start()
            await running.until_addresses("vm/orders", addresses_in(3))
            await register(running, "orders-1", "10.3.0.4")
            await register(running, "orders-2", "10.3.0.5")
            await told(running, "shop/orders", "own: orders-2 came (10.3.0.5)")
            before = (await running.get("/services/shop/orders/history"))["changes"][-1]["time"]
            await until_written(running, tmp_path / "hub.db", b"orders-2")  # the last second may be lost
            await register(running, "orders-3", "10.3.0.6")
            await running.delete("/instances/shop/orders/orders-1")
            running.end(signal.SIGKILL)
            etcd.delete("services/orders/10.2.0.1:9000")
            running.start()
            await running.until_addresses("vm/orders", addresses_in(3)[1:])
            lines = await told(
                running, "vm/orders", "etcd: synced, holding 2 instances", "etcd: 10.2.0.1:9000 gone, 2 left"
            )
            assert lines.count("etcd: the hub started") == 2
            then = await running.get(f"/services/vm/orders/history?at={before}")
            assert sorted(one["address"] for one in then["instances"]) == addresses_in(3)

            def both(lines: list[str]) -> bool:
                return all(any(said in line for line in lines) for said in ("orders-1 gone", "orders-3 came"))

            # Told before the hub died, or missed by the journal too and told after: never lost. Twice only where the
            # hub died between writing history and the records that a start compares with.
            lines = await running.until(lambda: lines_of(running, "shop/orders"), both)
            assert sorted({line.partition(",")[0] for line in lines if "orders-" in line}) == [
                "own: orders-1 came (10.3.0.4)",
                "own: orders-1 gone",
                "own: orders-2 came (10.3.0.5)",
                "own: orders-3 came (10.3.0.6)",
            ]
            then = await running.get(f"/services/shop/orders/history?at={before}")
            assert sorted(one["id"] for one in then["instances"]) == ["orders-1", "orders-2"]
            etcd.kill()
            await running.until_state("etcd", "lost")
            await running.until(
                lambda: running.get("/services/vm/orders/history"),
                lambda answer: answer["timeline"][-1]["text"].startswith("lost: "),
            )
        finally:
            running.close()


async def test_a_mass_removal_is_told_as_people_tell_it(tmp_path: Path):
    with Etcd() as etcd:
        write(etcd, "orders", *addresses_in(10))
        async with hub(tmp_path, zones=ZONES, registries=[OWN, etcd_registry(etcd)]) as running:
            await running.until_addresses("vm/orders", addresses_in(10))
            etcd.delete("services/orders/10.2.0.1", end="services/orders/10.2.0.9:")
            await running.until(lambda: running.registry("etcd"), lambda one: one["held"] > 0)
            await told(running, "vm/orders", "etcd: 9 of 10 gone, held")
            assert (await running.post("/registries/etcd/release")).status_code < 300
            await told(running, "vm/orders", "etcd: 9 of 10 held no longer", "etcd: 9 of 10 gone")
            held = next(
                line
                for line in (await running.get("/services/vm/orders/history"))["timeline"]
                if "held" in line["text"]
            )
            then = await running.get(f"/services/vm/orders/history?at={held['time']}")
            assert sorted((one["held"] for one in then["instances"]), reverse=True) == [True] * 9 + [False]
            assert [condition["type"] for condition in then["conditions"]] == ["Held"]
