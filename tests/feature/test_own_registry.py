"""Our own registry on a PostgreSQL that goes away and comes back, under a hub as users have it."""

from pathlib import Path

from devservers import Postgres
from devservers.pytest_plugin import Fresh
from tests.feature.hub import hub

ORDERS = {
    "namespace": "shop",
    "name": "orders",
    "ports": [{"name": "http", "number": 8080, "protocol": "http"}],
    "ttl": "60s",
}


async def test_who_registers_is_heard_again_after_the_database_was_gone(tmp_path: Path, fresh: Fresh):
    server = fresh(Postgres)
    own = {"name": "own", "kind": "database", "settings": {"url": server.url}, "zone": "mesh"}
    async with hub(tmp_path, zones=[{"name": "mesh"}], registries=[own]) as running:

        async def registered(number: int) -> int:
            body = ORDERS | {"id": f"orders-{number}", "address": f"10.3.0.{number}"}
            return (await running.post("/instances", body)).status_code

        await running.until(lambda: registered(1), lambda status: status < 300)
        server.kill()
        await running.until_state("own", "lost")
        assert await registered(2) >= 500
        server.start_again()
        await running.until(lambda: registered(3), lambda status: status < 300)
        await running.until_addresses("shop/orders", ["10.3.0.1", "10.3.0.3"])
