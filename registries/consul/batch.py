"""What both ways of writing share: a batch of copies as registrations, and the proof of ownership."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from pilot_plus.model import Instance
from pilot_plus.ports import Done, Failed, Refused, Result
from registries.consul import extras
from registries.consul.encode import PREFIX, Registration, encode
from registries.consul.records import Held

_CHUNK: Final = 200


async def registrations(
    copies: Sequence[Instance], lease_of: Callable[[Instance], str]
) -> tuple[dict[int, Registration], list[Result]]:
    """The registration of each by its place, and a result for each: `Refused` where Consul can't hold it."""
    bodies: dict[int, Registration] = {}
    results: list[Result] = [Failed("not tried")] * len(copies)
    for number, copy in enumerate(copies):
        if number % _CHUNK == _CHUNK - 1:
            await asyncio.sleep(0)
        try:
            bodies[number] = encode(copy, lease_of(copy))
        except ValueError as error:
            results[number] = Refused(str(error))
    return bodies, results


def judged(held: Held | None, key: str) -> Result:
    """`Done` if what is held under an ID of ours may be written or removed, or there is nothing; else `Refused`."""
    if held and not (held.id.startswith(PREFIX) and extras.ID in (held.meta or {})):
        return Refused(f"{held.id[:100]!r} is somebody else's record")
    return Done(key)
