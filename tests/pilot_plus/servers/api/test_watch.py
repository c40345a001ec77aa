"""The watch: it resumes, and never skips anything silently."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.catalog import holder
from pilot_plus.model import Drop, Health, Put, Reset, Skipped
from pilot_plus.servers.api import watch
from tests.pilot_plus.servers.api.events import Reader, watching
from tests.pilot_plus.servers.api.hub import Hub, copy


@pytest.fixture
def hub() -> Hub:
    hub = Hub()
    hub.say("own", Reset())
    hub.say("zk", Reset(instances=[copy("a"), copy("b"), copy("c", "web")]))
    return hub


def truth(hub: Hub) -> dict[str, list[str]]:
    return {name: sorted(key for _, key in entry.instances) for name, entry in hub.catalog.entries.items()}


async def test_a_watch_begins_with_everything(hub):
    async with watching(hub) as client:
        event = await client.next()
    assert (event.kind, event.id, event.data["revision"]) == ("reset", hub.catalog.revision, hub.catalog.revision)
    assert event.data["more"] is False
    assert client.reader.services == {"legacy/orders": ["a", "b"], "legacy/web": ["c"]}
    assert [registry["name"] for registry in event.data["registries"]] == ["own", "zk"]


async def test_what_a_guard_holds_is_told_and_when_it_is_free_again(hub):
    hub.say("zk", *(Put(copy(f"k{n}", "many")) for n in range(9)))
    hub.time = 40.0
    async with watching(hub, "namespace=legacy&name=many") as client:
        await client.next()
        hub.say("zk", *(Drop(f"k{n}") for n in range(9)))
        assert (await client.next()).kind == "source"
        held = await client.next()
        assert [one["held"] for one in held.data["instances"]] == [True] * 9
        hub.say("zk", Put(copy("k3", "many")))
        assert (await client.next()).kind == "source"
        freed = await client.next()
        assert [one["id"] for one in freed.data["instances"] if not one["held"]] == ["k3"]


async def test_each_change_comes_with_the_whole_service(hub):
    async with watching(hub) as client:
        await client.next()
        hub.say("zk", Put(copy("a", health=Health.CRITICAL)))
        event = await client.next()
        assert (event.kind, event.id) == ("put", hub.catalog.revision)
        assert [(i["id"], i["health"]) for i in event.data["instances"]] == [("a", "critical"), ("b", "passing")]
        hub.say("zk", Drop("c"))
        event = await client.next()
        assert (event.kind, event.data["name"]) == ("drop", "web")


async def test_a_namespace_and_a_name_narrow_the_watch(hub):
    async with watching(hub, "namespace=legacy&name=web") as one, watching(hub, "namespace=shop") as other:
        assert [s["name"] for s in (await one.next()).data["services"]] == ["web"]
        assert (await other.next()).data["services"] == []
        hub.say("zk", Drop("a"))
        hub.say("zk", Drop("c"))
        hub.say("own", Put(copy("x", "cart", namespace="shop")))
        assert (await one.next()).kind == "drop"
        assert (await other.next()).data["name"] == "cart"


async def test_a_watch_of_a_service_that_is_not_there_yet_hears_of_it(hub):
    async with watching(hub, "namespace=legacy&name=new") as client:
        assert (await client.next()).data["services"] == []
        hub.say("zk", Put(copy("n", "new")))
        assert (await client.next()).kind == "put"


async def test_a_watch_resumes_with_only_what_changed(hub):
    since = hub.catalog.revision
    hub.say("zk", Drop("c"))
    hub.say("zk", Put(copy("d", "more")))
    async with watching(hub, f"since={since}") as client:
        events = [await client.next() for _ in range(3)]
    assert [(event.kind, event.data.get("name")) for event in events] == [
        ("resumed", None),
        ("put", "more"),
        ("drop", "web"),
    ]
    assert [event.id for event in events] == [since, since, hub.catalog.revision]


async def test_last_event_id_is_newer_than_since(hub):
    first, since = hub.catalog.revision, ""
    hub.say("zk", Drop("c"))
    since = hub.catalog.revision
    async with watching(hub, f"since={first}", last_event_id=since) as client:
        assert (await client.next()).kind == "resumed"
        hub.say("zk", Drop("a"))
        assert (await client.next()).data["name"] == "orders"


@pytest.mark.parametrize("since", ["other.1", "e.999", "e.", "e", "nonsense", "e." + "9" * 99, "e.-1", "e.1.1"])
async def test_a_foreign_or_future_revision_is_answered_with_everything(hub, since):
    async with watching(hub, f"since={since}") as client:
        assert (await client.next()).kind == "reset"
        assert client.reader.services == truth(hub)


async def test_who_fell_off_the_ring_is_told_everything(hub):
    since = hub.catalog.revision
    for n in range(holder.RING + 1):
        hub.say("zk", Put(copy("a", weight=n % 7 + 1)))
    async with watching(hub, f"since={since}") as client:
        assert (await client.next()).kind == "reset"


async def test_a_client_cut_off_within_a_batch_hears_the_rest_again(hub):
    async with watching(hub) as client:
        await client.next()
        hub.say("zk", *(Put(copy(f"n{n}", f"n{n}")) for n in range(5)))
        seen = [await client.next() for _ in range(3)]
    assert len({event.id for event in seen}) == 1
    async with watching(hub, f"since={client.reader.id}", client.reader) as again:
        await again.until(lambda reader: reader.services == truth(hub))
    assert again.reader.id == hub.catalog.revision


async def test_a_revision_in_any_event_is_safe_to_go_on_from(hub):
    async with watching(hub) as client:
        await client.next()
        hub.say("zk", *(Put(copy(f"n{n}", f"n{n}")) for n in range(5)))
        event = await client.next()
    async with watching(hub, f"since={event.data['revision']}", client.reader) as again:
        await again.until(lambda reader: reader.services == truth(hub))


async def test_a_big_reset_comes_in_parts_and_is_complete_only_with_the_last(hub, monkeypatch):
    monkeypatch.setattr(watch, "PART", 1000)
    hub.say("zk", *(Put(copy(f"n{n}", f"n{n}")) for n in range(20)))
    async with watching(hub) as client:
        event = await client.next()
        assert (event.data["more"], event.id) == (True, "")
        hub.say("zk", Drop("n19"), Drop("n0"), Put(copy("zz", "zz")))
        while event.data["more"]:
            event = await client.next()
        await client.until(lambda reader: reader.services == truth(hub))


async def test_a_slow_client_hears_the_newest_state_of_what_changed_once(hub):
    async with watching(hub) as client:
        await client.next()
        for n in range(100):
            hub.say("zk", Put(copy("a", weight=n + 1)))
        event = await client.next()
        assert next(i["weight"] for i in event.data["instances"] if i["id"] == "a") == 100
        assert event.id == hub.catalog.revision
        hub.say("zk", Drop("c"))
        assert (await client.next()).kind == "drop"


async def test_a_registry_that_stands_differently_is_an_event(hub):
    async with watching(hub) as client:
        await client.next()
        hub.lose("zk", "refused")
        event = await client.next()
        assert (event.kind, event.data["name"], event.data["state"]) == ("source", "zk", "lost")
        hub.say("zk", Reset(instances=[copy("a"), copy("b"), copy("c", "web")]))
        assert (await client.next()).data["state"] == "synced"
        hub.say("zk", Skipped("/x", "no JSON"))
        assert (await client.next()).data["skipped"] == 1


async def test_who_follows_one_service_hears_of_its_registry_too(hub, monkeypatch):
    monkeypatch.setattr(watch, "LOOK", 0.01)
    async with watching(hub, "namespace=legacy&name=orders") as client:
        await client.next()
        hub.lose("zk", "refused")
        assert (await client.next()).kind == "source"


async def test_a_quiet_watch_shows_that_it_lives_and_does_not_fall_off_the_ring(hub, monkeypatch):
    monkeypatch.setattr(watch, "HEARTBEAT", 0.02)
    async with watching(hub, "namespace=shop") as client:
        await client.next()
        for n in range(holder.RING + 1):
            hub.say("zk", Put(copy("a", weight=n % 7 + 1)))
        comments = [await anext(client._parts) for _ in range(2)]
        for comment in comments:
            assert client.reader.take(comment) is None
    assert comments[-1].endswith(b": heartbeat\n\n")
    async with watching(hub, f"since={client.reader.id}&namespace=shop") as again:
        assert (await again.next()).kind == "resumed"


async def test_a_watch_that_ends_leaves_no_follower(hub):
    for query in ("", "namespace=legacy&name=orders"):
        async with watching(hub, query) as client:
            await client.next()
            assert hub.holder._of_all or hub.holder._of
    assert not hub.holder._of_all
    assert not hub.holder._of


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 4), st.integers(0, 3)),
        st.tuples(st.just("drop"), st.integers(0, 4), st.integers(0, 3)),
        st.tuples(st.just("cut"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("read"), st.integers(1, 3), st.just(0)),
    ),
    max_size=30,
)


@given(STEPS, st.sampled_from(["", "namespace=legacy", "namespace=legacy&name=s1", "name=s2"]))
async def test_whatever_happens_a_client_that_reads_on_knows_the_truth(steps, query):
    hub = Hub()
    hub.say("own", Reset())
    hub.say("zk", Reset())
    reader = Reader()
    at = 0
    while at <= len(steps):
        async with watching(hub, f"{query}&since={reader.id}".strip("&"), reader) as client:
            await client.next()
            while at < len(steps) and steps[at][0] != "cut":
                what, service, key = steps[at]
                at += 1
                match what:
                    case "put":
                        hub.say("zk", Put(copy(f"{service}-{key}", f"s{service}", weight=at)))
                    case "drop":
                        hub.say("zk", Drop(f"{service}-{key}"))
                    case _ if reader.services != expected(hub, query):
                        await client.next()
            at += 1
            if at > len(steps):
                await client.until(lambda reader: reader.services == expected(hub, query))
    assert reader.services == expected(hub, query)


def expected(hub: Hub, query: str) -> dict[str, list[str]]:
    only: Callable[[str], bool] = {
        "": lambda _: True,
        "namespace=legacy": lambda _: True,
        "namespace=legacy&name=s1": lambda name: name == "legacy/s1",
        "name=s2": lambda name: name == "legacy/s2",
    }[query]
    return {name: keys for name, keys in truth(hub).items() if only(name)}
