"""Turns: one hub writes, and stops before another may begin."""

import asyncio

from pilot_plus.sync.turn import Turn


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Lock:
    """A registry's lock, whose answers a test decides."""

    def __init__(self) -> None:
        self.holder = ""
        self.released: list[str] = []
        self.claims = 0

    async def claim(self, name: str, owner: str, ttl: float) -> str:
        self.claims += 1
        self.holder = self.holder or owner
        return self.holder

    async def release(self, name: str, owner: str) -> None:
        self.released.append(owner)


async def keeping(turn: Turn, lock: object) -> None:
    async with asyncio.TaskGroup() as tasks:
        kept = tasks.create_task(turn.keep(lock, lambda: None))
        for _ in range(5):
            await asyncio.sleep(0)
        kept.cancel()


async def test_a_claimed_lock_is_believed_for_two_thirds_of_its_life():
    clock, believed = Clock(), []
    turn = Turn("sync-east", "me", 6.0, clock)

    def claimed() -> None:
        for later in (0.0, 3.9, 4.1):
            clock.now = 100.0 + later
            believed.append(turn.is_mine)

    async with asyncio.TaskGroup() as tasks:
        kept = tasks.create_task(turn.keep(Lock(), claimed))
        for _ in range(5):
            await asyncio.sleep(0)
        kept.cancel()
    assert believed == [True, True, False]


async def test_somebody_elses_lock_is_not_ours():
    lock = Lock()
    lock.holder = "them"
    turn = Turn("sync-east", "me", 6.0, Clock())
    await keeping(turn, lock)
    assert (turn.is_mine, turn.holder) == (False, "them")


async def test_it_is_given_up_in_the_end():
    lock = Lock()
    turn = Turn("sync-east", "me", 6.0, Clock())
    await keeping(turn, lock)
    assert lock.released == ["me"]
    assert not turn.is_mine


async def test_where_no_lock_can_be_had_everybody_writes():
    turn = Turn("sync-east", "me", 6.0, Clock())
    await keeping(turn, object())
    assert (turn.is_mine, turn.holder) == (True, "me")


async def test_who_has_nothing_to_write_takes_no_lock_and_waits_for_nobody():
    lock, is_needed = Lock(), False
    lock.holder = "them"
    turn = Turn("sync-east", "me", 3.0, is_needed=lambda: is_needed)
    async with asyncio.TaskGroup() as tasks:
        kept = tasks.create_task(turn.keep(lock, lambda: None))
        await asyncio.sleep(0)
        assert (turn.is_mine, turn.holder, lock.claims) == (True, "", 0)
        is_needed = True
        assert not turn.is_mine
        async with asyncio.timeout(30):
            while not lock.claims:  # noqa: ASYNC110 - a fake tells nobody
                await asyncio.sleep(0.01)
        assert (turn.is_mine, turn.holder) == (False, "them")
        kept.cancel()


async def test_who_has_nothing_to_write_any_more_gives_the_lock_up():
    lock, is_needed = Lock(), True
    turn = Turn("sync-east", "me", 1.0, is_needed=lambda: is_needed)
    async with asyncio.TaskGroup() as tasks:
        kept = tasks.create_task(turn.keep(lock, lambda: None))
        await asyncio.sleep(0)
        assert turn.holder == "me"
        is_needed = False
        async with asyncio.timeout(30):
            while not lock.released:  # noqa: ASYNC110 - a fake tells nobody
                await asyncio.sleep(0.01)
        assert (turn.is_mine, turn.holder) == (True, "")
        kept.cancel()
