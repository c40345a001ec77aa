"""Writing into Consul: leased copies at the agent, durable ones there too or, with `write: catalog`, in the catalog."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pilot_plus.model import Instance
from pilot_plus.ports import Done, Refused, Result
from registries.consul.agent import Agent
from registries.consul.agent_sink import AgentSink
from registries.consul.catalog_sink import NODE, CatalogSink
from registries.consul.decode import parts_of
from registries.consul.encode import PREFIX
from registries.consul.locks import Locks
from registries.consul.preview import preview_of

T = TypeVar("T")
Write = Callable[[Sequence[T]], Awaitable[Sequence[Result]]]


class Writing:
    """What one connection writes, and where."""

    def __init__(self, agent: Agent, locks: Locks) -> None:
        self._at_agent = AgentSink(agent)
        self._in_catalog = CatalogSink(agent, locks)
        self._durable_in_catalog = agent.settings.write == "catalog"
        self._protocol = agent.settings.protocol

    def preview(self, copy: Instance) -> Instance | Refused:
        """What will become of a write; see `pilot_plus.ports.Previewing`."""
        try:
            return preview_of(copy, NODE if self._is_for_catalog(copy) else self._at_agent.node, self._protocol)
        except ValueError as error:
            return Refused(str(error))

    async def put(self, copies: Sequence[Instance]) -> Sequence[Result]:
        """Write each."""
        results: list[Result | None] = [None] * len(copies)
        chosen = [self._is_for_catalog(copy) for copy in copies]
        await _part(copies, chosen, results, self._in_catalog.put)
        await _part(copies, [not there for there in chosen], results, self._at_agent.put)
        return _complete(results)

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        """Remove each that is ours, where it lies."""
        results = [_refused(key) for key in keys]
        chosen = [result is None and _is_in_catalog(key) for key, result in zip(keys, results, strict=True)]
        rest = [result is None and not there for result, there in zip(results, chosen, strict=True)]
        await _part(keys, chosen, results, self._in_catalog.drop)
        await _part(keys, rest, results, self._at_agent.drop)
        return _complete(results)

    async def renew(self, keys: Sequence[str]) -> Sequence[Result]:
        """Renew the leases of these; what lies in the catalog has none."""
        results = [_refused(key) for key in keys]
        for number, key in enumerate(keys):
            if results[number] is None and _is_in_catalog(key):
                results[number] = Done(key)
        await _part(keys, [result is None for result in results], results, self._at_agent.renew)
        return _complete(results)

    async def tidy(self) -> None:
        """Remove what copies that are gone have needed."""
        await self._at_agent.tidy()

    def _is_for_catalog(self, copy: Instance) -> bool:
        return self._durable_in_catalog and not copy.lease


async def _part(things: Sequence[T], chosen: Sequence[bool], results: list[Result | None], write: Write[T]) -> None:
    """Have the chosen ones written, and put their results where they belong."""
    numbers = [number for number, is_chosen in enumerate(chosen) if is_chosen]
    if numbers:
        written = await write([things[number] for number in numbers])
        for number, result in zip(numbers, written, strict=True):
            results[number] = result


def _complete(results: Sequence[Result | None]) -> list[Result]:
    return [result for result in results if result is not None]


def _is_in_catalog(key: str) -> bool:
    return parts_of(key)[1] == NODE


def _refused(key: str) -> Result | None:
    """Why a key can't be one of ours."""
    try:
        identity = parts_of(key)[2]
    except ValueError as error:
        return Refused(str(error))
    return None if identity.startswith(PREFIX) else Refused(f"{identity[:100]!r} is somebody else's record")
