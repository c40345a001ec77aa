"""Whatever a client says, in whatever order, hurts only itself; who does not answer costs little and slows nobody."""

import asyncio

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Role
from pilot_plus.servers.xds.forms import Form
from pilot_plus.servers.xds.requests import MAX_NAME, DeltaRequest, StateRequest, delta_request
from pilot_plus.servers.xds.stream import MAX_NAMES
from pilot_plus.views.xds.resource import Type
from tests.pilot_plus.identity.company import Company
from tests.pilot_plus.servers.xds.hub import Delta, hub_of
from tests.pilot_plus.servers.xds.playbook import Book
from tests.pilot_plus.servers.xds.shelf import Shelf

E = Type.ENDPOINTS
VM = {"zone": "vm"}

NAMES = st.frozensets(st.sampled_from(("a", "b", "*", "", "x" * 40)), max_size=3)
TYPES = st.sampled_from((*Type, "", "type.googleapis.com/any.Other"))
NONCES = st.sampled_from(("", "stale", "NEWEST"))
ERRORS = st.none() | st.sampled_from(("no", "a is bad", ""))
DELTA = st.builds(
    DeltaRequest,
    type=TYPES,
    nonce=NONCES,
    error=ERRORS,
    subscribe=NAMES,
    unsubscribe=NAMES,
    versions=st.dictionaries(st.sampled_from(("a", "b", "gone")), st.text(max_size=3), max_size=3),
)
STATE = st.builds(StateRequest, type=TYPES, nonce=NONCES, error=ERRORS, version=st.text(max_size=3), names=NAMES)


@pytest.mark.parametrize(("form", "said"), [(Form.DELTA, DELTA), (Form.STATE, STATE)])
@given(data=st.data())
def test_no_request_in_any_order_breaks_a_stream(form: Form, said, data):
    shelf = Shelf()
    shelf.put(Type.CLUSTER, a="1", b="1")
    shelf.put(E, a="1")
    book = Book(form, shelf)
    for request in data.draw(st.lists(said, max_size=12)):
        newest = book.nonces.get(Type(request.type), "") if request.type in set(Type) else ""
        nonce = newest if request.nonce == "NEWEST" else request.nonce
        book.stream.request(
            type(request)(**{f: getattr(request, f) for f in request.__struct_fields__} | {"nonce": nonce}), 0
        )
        assert len(book.later(1)) <= 2 * len(Type)
        shelf.put(E, a=str(book.now))
        book.changed()


def test_too_much_and_too_long_is_refused():
    book = Book(Form.DELTA, Shelf())
    with pytest.raises(ValueError, match="more than 100000 resources"):
        book.stream.request(DeltaRequest(type=E, subscribe=frozenset(map(str, range(MAX_NAMES + 1)))), 0)
    too_long = b"\x12" + bytes((len(E),)) + E.encode() + b"\x1a\x81\x10" + b"x" * (MAX_NAME + 1)
    with pytest.raises(ValueError, match="characters"):
        delta_request(too_long)


async def test_who_does_not_answer_has_nothing_waiting_and_slows_nobody():
    company = await Company().open()
    async with hub_of(company) as hub, hub.channel() as channel, hub.channel() as other:
        hub.shelf.put(E, a="0")
        stalled, awake = Delta(channel), Delta(other)
        for client in (stalled, awake):
            await client.ask(E, "a", node=VM)
        first = await stalled.hear()
        await awake.answer(await awake.hear())
        for n in range(1, 50):
            hub.shelf.put(E, a=str(n))
            await hub.roster.advance()
            heard = await awake.hear()
            assert heard.resources[0].resource.value[2:] == str(n).encode()
            await awake.answer(heard)
        await stalled.answer(first)
        assert (await stalled.hear()).resources[0].resource.value[2:] == b"49", "nothing in between was kept for it"


@pytest.mark.parametrize("last", [b"no request", None])
async def test_a_stream_ends_also_for_whom_something_is_just_being_written_to(last: bytes | None):
    company = await Company().open()
    async with hub_of(company) as hub, hub.channel() as channel, asyncio.timeout(20):
        hub.shelf.put(E, **{f"n{n}": "x" * 500_000 for n in range(4)})
        client = Delta(channel)
        await client.ask(E, *(f"n{n}" for n in range(4)), node=VM)
        await (client.call.done_writing() if last is None else client.call.write(last))  # while an answer is written
        assert len((await client.hear()).resources) == 4
        code, _ = await client.ended()
        assert code is (StatusCode.OK if last is None else StatusCode.INVALID_ARGUMENT)


async def test_of_many_that_come_at_once_over_mutual_tls_none_is_lost():
    company, count = await Company().open(), 150
    held = company.held(Role.CLIENT, "web-7")
    async with hub_of(company, secure=True) as hub:
        hub.shelf.put(E, **{f"n{n}": "1" for n in range(50)})

        async def live(is_done: asyncio.Event) -> None:
            async with hub.channel(held) as channel:
                client = Delta(channel)
                await client.ask(E, *(f"n{n}" for n in range(50)), node=VM)
                heard = await client.hear()
                assert len(heard.resources) == 50
                await client.answer(heard)
                is_done.set()
                await client.hear()

        ready = [asyncio.Event() for _ in range(count)]
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            lives = [tasks.create_task(live(one)) for one in ready]
            for one in ready:
                await one.wait()
            assert len(hub.roster.clients) == count
            hub.shelf.put(E, n7="2")
            await hub.roster.advance()
            await asyncio.wait(lives)
