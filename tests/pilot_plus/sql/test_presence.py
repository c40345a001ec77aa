"""Presence: who is there is told by sessions, not by clocks."""

import asyncio
from pathlib import Path

import pytest

from devservers import Postgres
from pilot_plus.sql import open_store
from pilot_plus.sql.presence import Presence


@pytest.mark.live
async def test_copies_on_one_postgresql_see_each_other_come_and_go(postgres: Postgres):
    url = postgres.fresh_database()
    async with (
        open_store(url) as one_store,
        open_store(url) as other_store,
        open_store(postgres.fresh_database()) as third,
    ):
        one, other, elsewhere = Presence(one_store), Presence(other_store), Presence(third)
        assert await elsewhere.present() == {elsewhere.number}
        assert await one.present() == {one.number}
        assert await other.present() == {one.number, other.number}
        assert await one.present() == {one.number, other.number}
        other.close()
        async with asyncio.timeout(10):
            while await one.present() != {one.number}:  # noqa: ASYNC110 - the server sees the end a moment later
                await asyncio.sleep(0.01)
        one.close()
        elsewhere.close()


async def test_on_sqlite_there_is_one_hub(tmp_path: Path):
    async with open_store(f"sqlite:///{tmp_path}/x.db") as store:
        presence = Presence(store)
        assert await presence.present() == {presence.number}
