"""What a sink foretells of a write is what its own source reports of it: plans show it before they write."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from pilot_plus.model import Health, Instance, Locality, Origin, Port, instance
from pilot_plus.ports import Done, Previewing, Refused
from tests.contract.backend import Sample
from tests.contract.backends import backend as make_backend
from tests.contract.backends import chosen
from tests.contract.mirror import mirroring

UNPREVIEWED = ("peer",)
SEED = Sample("seed", "10.1.9.9")


@pytest.fixture(scope="module", params=[kind for kind in chosen() if kind not in UNPREVIEWED])
def backend(request: pytest.FixtureRequest) -> Iterator[Any]:
    with make_backend(request.param) as made:
        yield made


def copies(namespace: str) -> list[Instance]:
    """Many kinds of instances; some of which some layouts can't hold."""
    dubbo, web = Port("dubbo", 20880, "dubbo"), Port("web", 8080, "http")
    made: list[dict[str, Any]] = [
        {"ports": [dubbo]},
        {"ports": [dubbo], "health": Health.DRAINING, "metadata": {"methods": "find,place", "group": "blue"}},
        {"ports": [dubbo], "name": "com.example.Orders:1.0.0:blue", "weight": 0},
        {"ports": [web], "lease": 0.0},
        {"ports": [web, Port("admin", 9090, "grpc")], "weight": 250},
        {"ports": [Port("web", 8443, "https")], "health": Health.WARNING, "locality": Locality("eu", "eu-1", "r|7")},
        {"ports": [web], "health": Health.CRITICAL, "metadata": {"a.b": "dotted", "tags": "v1,blue", "k": "ü" * 600}},
        {"ports": [web], "health": Health.DRAINING, "metadata": {"secure": "true", "protocol": "odd", "url": "x://y"}},
        {"ports": [Port("bare", 7000, "unknown")], "weight": 1},
    ]
    return [_copy(number, namespace=namespace, **fields) for number, fields in enumerate(made)]


def _copy(number: int, **fields: Any) -> Instance:
    known: dict[str, Any] = {
        "key": "",
        "name": "com.example.Orders",
        "id": f"orders-{number}",
        "address": f"10.1.0.{number + 1}",
        "metadata": {"team": "shop"},
        "origin": Origin("east", "zk", f"orders/{number}", ("east",)),
        "zone": "east/legacy",
        "lease": 60.0,
    }
    return instance(**(known | fields))


async def test_what_is_foretold_is_what_is_reported(backend: Any):
    if backend.namespace:  # which has to be there, before something can be written into it
        await backend.write(SEED)
        await backend.remove(SEED)
    async with mirroring(backend) as mirror, backend.connect() as registry:
        await mirror.until_synced()
        assert isinstance(registry, Previewing)
        wanted = copies(backend.namespace or "legacy")
        results = await registry.put(wanted)  # type: ignore[attr-defined]  # every one that previews is a sink
        foretold = [registry.preview(one) for one in wanted]
        assert [_refusal(one) for one in foretold] == [_refusal(one) for one in results]
        there = {one.key: one for one in foretold if isinstance(one, Instance)}
        assert {result.key for result in results if isinstance(result, Done)} == set(there)
        assert len(there) >= 2
        await mirror.until(lambda m: {k: _same(one) for k, one in m.instances.items()} == _all(there), f"{there}")


def _all(there: dict[str, Instance]) -> dict[str, Instance]:
    return {key: _same(one) for key, one in there.items()}


def _refusal(said: object) -> Refused | None:
    return said if isinstance(said, Refused) else None


def _same(one: Instance) -> Instance:
    """Without what a registry need not say: the lease, where it lies beside the record."""
    return msgspec.structs.replace(one, lease=0.0)
