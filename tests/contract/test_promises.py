"""The promises of the ports, one test each, over every kind of registry. The first numbers are those of the design."""

import asyncio
import threading
from collections.abc import Iterator

import msgspec
import pytest

from pilot_plus.model import Health, Reset, Resumed, Update
from pilot_plus.ports import SourceLost
from tests.contract.backend import Backend, Sample
from tests.contract.backends import backend as make_backend
from tests.contract.backends import chosen
from tests.contract.mirror import PATIENCE, Mirror, mirroring

A, B, C = (Sample("orders", f"10.1.0.{n}") for n in (1, 2, 3))
OTHER = Sample("carts", "10.1.0.1", 9090)


@pytest.fixture(params=chosen())
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    with make_backend(request.param) as made:
        yield made


async def test_1_a_watch_begins_with_everything_even_when_that_is_nothing(backend: Backend):
    async with mirroring(backend) as mirror:
        await mirror.until_synced()
        assert isinstance(mirror.heard[0], Reset)
        await mirror.until_true(backend, set())


async def test_1_the_first_list_is_complete(backend: Backend):
    many = {Sample(f"service-{n % 7}", f"10.1.{n // 250}.{n % 250 + 1}", 8000 + n) for n in range(300)}
    await backend.write(*many)
    async with mirroring(backend) as mirror:
        await mirror.until_synced()
        assert isinstance(mirror.heard[0], Reset)
        assert {one.address for one in mirror.heard[0].instances} == {one.address for one in many}
        await mirror.until_true(backend, many)


async def test_2_a_killed_registry_is_a_loss_and_not_a_removal(backend: Backend):
    await backend.write(A, B)
    async with mirroring(backend) as mirror:
        await mirror.until_true(backend, {A, B})
        backend.kill()
        await mirror.until_lost()
        assert len(mirror.instances) == 2


async def test_2_a_registry_that_says_nothing_any_more_is_a_loss(backend: Backend):
    await backend.write(A)
    async with mirroring(backend) as mirror:
        await mirror.until_true(backend, {A})
        backend.pause()
        try:
            await mirror.until_lost()
        finally:
            backend.resume()
        assert len(mirror.instances) == 1


async def test_2_a_registry_that_is_down_at_the_start_is_a_loss(backend: Backend):
    async def said() -> list[Update]:
        async with asyncio.timeout(PATIENCE), backend.connect() as source:
            return [update async for update in source.watch()]

    backend.kill()
    with pytest.raises(SourceLost):
        await said()


async def test_3_garbage_is_skipped_with_its_place_and_stops_nothing(backend: Backend):
    await backend.write(A)
    place = await backend.write_garbage()
    if place is None:
        return
    async with mirroring(backend) as mirror:
        await mirror.until_true(backend, {A})
        await mirror.until(lambda m: any(place in where for where in m.skipped), "the skip")
        assert all(reason and "\n" not in reason for reason in mirror.skipped.values())
        await backend.write(B)
        await mirror.until_true(backend, {A, B})
        await backend.remove_garbage()
        await mirror.until(lambda m: not m.skipped, "the skip taken back")


async def test_4_a_reconnect_with_nothing_changed_says_the_same(backend: Backend):
    await backend.write(A, B, OTHER)
    async with mirroring(backend) as first:
        await first.until_true(backend, {A, B, OTHER})
    async with mirroring(backend) as second:
        await second.until_true(backend, {A, B, OTHER})
    assert first.instances == second.instances


async def test_5_a_new_instance_arrives(backend: Backend):
    async with mirroring(backend) as mirror:
        await mirror.until_synced()
        await backend.write(A)
        await mirror.until_true(backend, {A})
        await backend.write(B, OTHER)
        await mirror.until_true(backend, {A, B, OTHER})


async def test_5_the_last_instance_of_a_service_goes(backend: Backend):
    await backend.write(A, OTHER)
    async with mirroring(backend) as mirror:
        await mirror.until_true(backend, {A, OTHER})
        await backend.remove(A)
        await mirror.until_true(backend, {OTHER})


async def test_5_a_change_of_metadata_only_arrives_under_the_same_key(backend: Backend):
    if not backend.holds_metadata:
        return
    changed = msgspec.structs.replace(A, metadata=(("note", "new"), ("team", "web")))
    await backend.write(A, B)
    async with mirroring(backend) as mirror:
        await mirror.until_true(backend, {A, B})
        keys = set(mirror.instances)
        await backend.write(changed)
        await mirror.until_true(backend, {changed, B})
        assert set(mirror.instances) == keys


async def test_5_a_change_of_weight_only_arrives_under_the_same_key(backend: Backend):
    if not backend.weight_step:
        return
    changed = msgspec.structs.replace(A, weight=A.weight + backend.weight_step)
    await backend.write(A, B)
    async with mirroring(backend) as mirror:
        await mirror.until_true(backend, {A, B})
        keys = set(mirror.instances)
        await backend.write(changed)
        await mirror.until_true(backend, {changed, B})
        assert set(mirror.instances) == keys


async def test_5_a_change_of_health_only_arrives(backend: Backend):
    if not backend.holds_health:
        return
    sick = msgspec.structs.replace(A, health=Health.CRITICAL)
    await backend.write(A, B)
    async with mirroring(backend) as mirror:
        await mirror.until_true(backend, {A, B})
        await backend.write(sick)
        await mirror.until_true(backend, {sick, B})
        await backend.write(A)
        await mirror.until_true(backend, {A, B})


async def test_5_a_record_created_again_under_the_same_name_is_seen(backend: Backend):
    await backend.write(A, B)
    async with mirroring(backend) as mirror:
        await mirror.until_true(backend, {A, B})
        for _ in range(3):
            await backend.remove(A)
            await backend.write(A)
        await mirror.until_true(backend, {A, B})
        await backend.remove(A)
        await mirror.until_true(backend, {B})
        await backend.write(A)
        await mirror.until_true(backend, {A, B})


async def test_5_what_happened_while_nobody_watched_is_seen(backend: Backend):
    await backend.write(A, B)
    async with mirroring(backend) as mirror:
        await mirror.until_true(backend, {A, B})
    await backend.remove(A)
    await backend.write(C)
    async with mirroring(backend) as mirror:
        await mirror.until_true(backend, {B, C})


async def test_5_a_watch_resumed_after_a_break_misses_nothing(backend: Backend):
    await backend.write(A, B)
    async with mirroring(backend) as before:
        await before.until_true(backend, {A, B})
        await before.until(lambda m: bool(m.heard), "a word")
    await backend.remove(A)
    await backend.write(C)
    after = Mirror()
    after.instances, after.services = dict(before.instances), dict(before.services)
    async with backend.connect() as source, asyncio.TaskGroup() as tasks:
        following = tasks.create_task(after.follow(source, before.progress or None))
        await after.until_true(backend, {B, C})
        following.cancel()
    assert isinstance(after.heard[0], Reset | Resumed)


async def test_5_a_registry_that_comes_back_is_read_again(backend: Backend):
    await backend.write(A)
    async with mirroring(backend) as mirror:
        await mirror.until_true(backend, {A})
        backend.kill()
        await mirror.until_lost()
    await backend.start_again()
    await backend.write(A, B)
    async with mirroring(backend) as mirror:
        await mirror.until_true(backend, {A, B})


async def test_5_a_registry_restarted_empty_is_seen_as_empty_and_new(backend: Backend):
    await backend.write(A, B)
    async with mirroring(backend) as mirror:
        await mirror.until_true(backend, {A, B})
        progress = mirror.progress
        await backend.restart_empty()
        await mirror.until_lost()
    await backend.write(C)
    async with mirroring(backend, progress or None) as mirror:
        await mirror.until_true(backend, {C})


async def test_6_closing_closes_everything_and_leaves_no_thread(backend: Backend):
    await backend.write(A)
    async with mirroring(backend) as mirror:
        await mirror.until_true(backend, {A})
    threads = set(threading.enumerate())
    for _ in range(3):
        async with mirroring(backend) as mirror:
            await mirror.until_true(backend, {A})
    async with asyncio.timeout(30):  # a driver's thread may take a moment to end after it was told to
        while not set(threading.enumerate()) <= threads:  # noqa: ASYNC110 - a thread's end wakes nobody
            await asyncio.sleep(0.01)
    assert len(asyncio.all_tasks()) == 1


async def test_6_cancellation_is_prompt_even_when_the_registry_is_silent(backend: Backend):
    await backend.write(A)
    watching = mirroring(backend)
    mirror = await watching.__aenter__()
    await mirror.until_true(backend, {A})
    backend.pause()
    try:
        async with asyncio.timeout(10):
            await watching.__aexit__(None, None, None)
    finally:
        backend.resume()
