"""Migrations: several databases at once, each to its own shape."""

import asyncio
from pathlib import Path

from pilot_plus.journal import Journal
from registries import database


async def test_databases_that_are_opened_at_once_do_not_meet(tmp_path: Path):
    """Alembic's revisions speak to a global: one database's tables were made in another one."""

    async def registry(number: int) -> None:
        url = f"sqlite:///{tmp_path}/registry-{number}.db"
        async with database.connect(database.Settings(url=url)) as opened:
            async for _ in opened.watch():
                return

    async def journal() -> None:
        async with Journal.open(f"sqlite:///{tmp_path}/journal.db"):
            pass

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(journal())
        for number in range(4):
            tasks.create_task(registry(number))
