"""One service's answer, read and decoded without stalling the loop."""

import asyncio
from typing import Final

import msgspec

from pilot_plus.model import Instance
from registries.consul.agent import Agent, segment
from registries.consul.decode import decode, entry_of, key_of
from registries.consul.truth import Reading

_CHUNK: Final = 100
_PLACE: Final = 300
"""Characters of a place for people."""


async def read_service(agent: Agent, service: str, index: int = 0, wait: float = 0.0) -> tuple[int, Reading]:
    """Everything that there is of a service, and the index of it: anew, or when it has changed since `index`.

    Raises:
        SourceLost: no answer, or none that is true.
        ValueError: Consul can't be asked for a service of that name.
    """
    answer = await agent.read(f"/v1/health/service/{segment(service)}", list[msgspec.Raw], index=index, wait=wait)
    instances: dict[str, Instance] = {}
    skipped: dict[str, str] = {}
    nodes: set[str] = set()
    for number, raw in enumerate(answer.body):
        if number % _CHUNK == _CHUNK - 1:
            await asyncio.sleep(0)
        place = place_of(f"{service}/[{number}]")
        try:
            entry = entry_of(raw)
            place = place_of(key_of(service, entry.node.node, entry.service.id))
            nodes.add(entry.node.node)
            decoded = decode(entry, agent.settings.protocol)
        except ValueError as error:
            skipped[place] = str(error)
        else:
            if decoded:
                instances[decoded.key] = decoded
    if answer.filtered:
        skipped[place_of(service)] = "the token may not read all of its instances"
    return answer.index, Reading(instances, skipped, len(answer.body), frozenset(nodes))


def unaskable(service: str, error: ValueError) -> Reading:
    """A service that is listed, and that Consul's API can't be asked for (`..`, a NUL, two slashes)."""
    return Reading(skipped={place_of(service): str(error)})


def place_of(key: str) -> str:
    """A key as a place that people can read on one line."""
    return key[:_PLACE] if key.isprintable() else ascii(key[:_PLACE])
