"""Comparing: what the hub shows against what the registries hold, and what history says against what the hub showed."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec

from bench.soak.stand import Stand
from pilot_plus.model import Health
from tests.contract.backend import Sample

LOOK: Final = 0.25
_TOLD: Final = ("team", "note")


class Compared(msgspec.Struct, frozen=True):
    """How a stand compares. Empty `why`: it is as it should be."""

    stand: str
    after: float
    """Seconds that it took."""
    why: str = ""


class Asker:
    """Asks a hub that may be gone at any moment."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def get(self, path: str) -> Any:
        """An answer; None where nobody answers, or with a problem."""
        try:
            async with self._session.get(f"{self._url}{path}", timeout=aiohttp.ClientTimeout(20)) as response:
                return await response.json() if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def text(self, path: str) -> str:
        """A text; empty where nobody answers."""
        try:
            async with self._session.get(f"{self._url}{path}", timeout=aiohttp.ClientTimeout(20)) as response:
                return await response.text()
        except (aiohttp.ClientError, TimeoutError):
            return ""


async def until_true(ask: Asker, stand: Stand, patience: float) -> Compared:
    """Wait until a stand's registry is in step, fresh, and shown as it is, or until patience ends."""
    began = monotonic()
    why = "nothing was answered"
    while monotonic() - began < patience:
        why = await _difference(ask, stand)
        if not why:
            return Compared(stand.name, monotonic() - began)
        await asyncio.sleep(LOOK)
    return Compared(stand.name, monotonic() - began, why)


async def _difference(ask: Asker, stand: Stand) -> str:
    """What is not as it should be; empty if nothing."""
    try:
        truth = await stand.truth()
    except Exception as error:  # noqa: BLE001 - it has just been broken: asked again, until patience ends
        return f"what it holds can't be read: {type(error).__name__}: {error}"
    registry = await ask.get(f"/api/v1/registries/{stand.name}")
    answer = await ask.get(f"/api/v1/instances?limit=10000&registry={stand.name}")
    if registry is None or answer is None:
        return "the hub doesn't answer"
    if registry["state"] != "synced" or registry["held"]:
        return f"{registry['state']}, {registry['held']} held: {registry['error']}"
    stale = [one["id"] for one in answer["instances"] if one["stale"]]
    if stale:
        return f"stale: {stale[:5]}"
    shown = {_sample(one, stand) for one in answer["instances"]}
    missing, extra = truth - shown, shown - truth
    if missing or extra:
        return f"{len(missing)} missing, as {_some(missing)}; {len(extra)} too many, as {_some(extra)}"
    return ""


def _some(samples: set[Sample]) -> list[str]:
    return sorted(map(str, samples))[:2]


def _sample(one: Mapping[str, Any], stand: Stand) -> Sample:
    metadata = tuple(sorted((name, value) for name, value in one["metadata"].items() if name in _TOLD))
    sample = Sample(
        one["service"].partition(":")[0],
        one["address"],
        one["ports"][0]["number"],
        one["weight"],
        metadata,
        Health(one["health"]),
    )
    return stand.held(sample)


class Remembered(msgspec.Struct, frozen=True):
    """How a service was shown at a quiet moment."""

    service: str
    at: str
    instances: frozenset[tuple[Any, ...]]


async def remember(ask: Asker, service: Mapping[str, str]) -> Remembered | None:
    """A service as it is shown now."""
    at = datetime.now(UTC).isoformat()
    path = f"{service['namespace']}/{quote(service['name'], safe='')}"
    answer = await ask.get(f"/api/v1/services/{path}")
    return Remembered(path, at, _essence(answer)) if answer else None


async def recalled(ask: Asker, one: Remembered) -> str:
    """What history says otherwise than it was; empty if nothing."""
    answer = await ask.get(f"/api/v1/services/{one.service}/history?at={quote(one.at, safe='')}")
    if answer is None:
        return f"history of {one.service} at {one.at} is not answered"
    said = _essence(answer)
    if said == one.instances:
        return ""
    return (
        f"history of {one.service} at {one.at}: {sorted(map(str, one.instances - said))[:2]} are missing, "
        f"{sorted(map(str, said - one.instances))[:2]} were not there"
    )


def _essence(answer: Mapping[str, Any]) -> frozenset[tuple[Any, ...]]:
    return frozenset(
        (
            one["registry"],
            one["key"],
            one["address"],
            one["weight"],
            one["health"],
            tuple(sorted(one["metadata"].items())),
        )
        for one in answer["instances"]
    )
