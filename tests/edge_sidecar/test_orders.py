"""Orders by signals: heard at every moment, also before there is anything to end or to replace."""

import asyncio
import os
import signal

from edge_sidecar.orders import Orders, heard


async def until_told(number: int, orders: Orders) -> None:
    os.kill(os.getpid(), number)
    async with asyncio.timeout(30), orders.unless_told_to_end():
        await asyncio.Event().wait()


async def test_who_is_told_to_end_leaves_what_it_does_and_hurries_when_told_again():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        with heard() as orders:
            await until_told(signal.SIGTERM, orders)
            assert (orders.end.is_set(), orders.hurry.is_set()) == (True, False)
            os.kill(os.getpid(), signal.SIGINT)
            async with asyncio.timeout(30):
                await orders.hurry.wait()
    finally:
        for number, act in before.items():
            signal.signal(number, act)


async def test_what_fails_for_want_of_time_of_its_own_is_not_taken_for_an_end():
    orders, failed = Orders(), False
    try:
        async with orders.unless_told_to_end():
            raise TimeoutError
    except TimeoutError:
        failed = True
    assert failed


async def test_another_envoy_is_asked_for_only_while_there_is_one():
    orders, asked = Orders(), []
    orders.told_to_replace()
    with orders.replacing(lambda: asked.append("again")):
        orders.told_to_replace()
    orders.told_to_replace()
    assert asked == ["again"]
