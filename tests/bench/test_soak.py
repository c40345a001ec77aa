"""The soak: a short one finds nothing, and one that is lied to says so."""

from typing import Any

from bench.soak.comparing import Asker, Remembered, recalled, until_true
from bench.soak.report import Report
from bench.soak.running import Plan, soak
from bench.soak.stand import Stand
from tests.contract.backend import Sample
from tests.contract.backend_memory import MemoryBackend


async def test_a_short_soak_finds_no_divergence():
    said: list[str] = []
    plan = Plan(seconds=5, seed=5, kinds=("etcd", "sqlite", "kubernetes"), rate=40, storm=(2, 3))
    report = await soak(plan, said.append)
    assert report.divergences == [], "\n".join(said)
    assert report.pauses >= 2
    assert report.changes > 20
    assert sum(report.faults.values()) > 0
    assert report.recalled > 0
    assert "divergences   0" in str(report)


class Lying(Asker):
    """A hub that answers what it is told to."""

    def __init__(self, *instances: dict[str, Any], **registry: Any) -> None:
        self._registry = {"state": "synced", "held": 0, "error": None, **registry}
        self._instances = instances

    async def get(self, path: str) -> Any:
        return self._registry if "/registries/" in path else {"instances": self._instances}


def shown(**fields: Any) -> dict[str, Any]:
    port = {"name": "http", "number": 8080, "protocol": "http"}
    ordinary = {"service": "orders", "address": "10.1.0.1", "ports": [port], "weight": 100, "health": "passing"}
    return {
        "id": "a",
        "registry": "memory",
        "key": "a",
        "metadata": {"team": "shop"},
        "stale": False,
        **ordinary,
        **fields,
    }


async def test_whatever_is_not_as_the_registry_holds_it_is_a_divergence(tmp_path):
    backend = MemoryBackend()
    await backend.write(Sample("orders", "10.1.0.1"))
    stand = Stand("memory", 0, backend, None, tmp_path)
    assert (await until_true(Lying(shown()), stand, 0.1)).why == ""
    for hub, why in (
        (Lying(), "1 missing"),
        (Lying(shown(), shown(address="10.1.0.2")), "1 too many"),
        (Lying(shown(weight=50)), "1 missing"),
        (Lying(shown(stale=True)), "stale"),
        (Lying(shown(), held=3), "3 held"),
        (Lying(shown(), state="lost", error="refused"), "lost, 0 held: refused"),
    ):
        assert why in (await until_true(hub, stand, 0.05)).why


async def test_history_that_says_otherwise_than_it_was_is_a_divergence():
    then = Remembered("vm/orders", "2026-11-21T12:00:00+00:00", frozenset())
    assert "were not there" in await recalled(Lying(shown()), then)
    assert await recalled(Lying(), then) == ""


def test_memory_is_compared_within_one_life_of_the_hub():
    report = Report("as it was asked for")
    report.memory = [(0, 10.0, 9_000_000)] + [(1, 20.0 * n, 50_000_000 + n * 1_000_000) for n in range(9)]
    report.died()
    assert report.drift().startswith("51.0 MB in the first third, 57.0 MB in the last")
