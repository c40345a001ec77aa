"""Discovery over real gRPC: who gets in, what changes reach whom, and what strangers and vandals get."""

import asyncio
import random

import msgspec
import pytest
from grpc import StatusCode

from pilot_plus.model import Role, Speaks, Viewer
from pilot_plus.servers.xds.service import SERVICES
from pilot_plus.views.xds.profile import Kind, Profile
from pilot_plus.views.xds.resource import Type
from pilot_plus.wire.certificates import fingerprint, new_key
from pilot_plus.wire.stranger import strangers_certificate
from tests.pilot_plus.identity.company import Company
from tests.pilot_plus.servers.xds.hub import ADS, Delta, Hub, hub_of

C, E = Type.CLUSTER, Type.ENDPOINTS
VM = {"zone": "vm"}


@pytest.fixture
async def company() -> Company:
    return await Company().open()


async def until_gone(hub: Hub) -> None:
    async with asyncio.timeout(10):
        while hub.roster.clients:  # noqa: ASYNC110 - gRPC says nothing when a stream is over
            await asyncio.sleep(0.01)


async def test_a_change_reaches_whoever_follows_it_and_a_stream_leaves_nothing_behind(company: Company):
    async with hub_of(company) as hub:
        hub.shelf.put(E, a="1", b="1")
        async with hub.channel() as channel:
            client = Delta(channel)
            await client.ask(E, "a", node=VM)
            first = await client.hear()
            assert [one.name for one in first.resources] == ["a"]
            await client.answer(first)
            hub.shelf.put(E, b="2")
            await hub.roster.advance()
            hub.shelf.put(E, a="2")
            await hub.roster.advance()
            second = await client.hear()
            assert [(one.name, one.resource.value[2:]) for one in second.resources] == [("a", b"2")]
            (one,) = hub.roster.clients
            assert (one.id, one.profile) == ("web-7", Profile(kind=Kind.ENVOY, viewer=Viewer("east/vm", Speaks.MESH)))
        await until_gone(hub)
        assert hub.shelf.forgotten == hub.shelf.asked == [one.profile]


@pytest.mark.parametrize("service", SERVICES)
async def test_every_type_has_a_service_of_its_own_too(company: Company, service: str):
    async with hub_of(company) as hub, hub.channel() as channel:
        of_its_own = SERVICES[service].type
        for said in ("", C) if of_its_own else (C,):  # there, the type goes without saying
            client = Delta(channel, f"/{service}/{SERVICES[service].delta}")
            await client.ask(said, "none", node=VM)
            heard = await client.hear()
            assert (heard.type_url, list(heard.removed_resources)) == (said or of_its_own, ["none"])


@pytest.mark.parametrize(
    ("node", "id_", "said"),
    [
        (None, "a", "no `node`"),
        ({"zone": "moon"}, "a", "no zone 'east/moon'"),
        ({}, "a", "zone"),
        (VM, "", "node.id"),
        ({"zone": "vm", "tcp": ["nothing"]}, "a", "HOST:PORT"),
        ({"zone": "vm", "kind": "edge"}, "a", "an edge says"),
    ],
)
async def test_who_says_nothing_that_can_be_used_hears_why(company: Company, node, id_: str, said: str):
    async with hub_of(company) as hub, hub.channel() as channel:
        client = Delta(channel)
        await client.ask(C, node=node, id_=id_)
        code, details = await client.ended()
        assert code is StatusCode.INVALID_ARGUMENT
        assert said in details


@pytest.mark.parametrize(
    ("role", "name", "node", "is_let_in"),
    [
        (Role.CLIENT, "web-7", {"zone": "vm"}, True),
        (Role.CLIENT, "web-8", {"zone": "vm"}, False),
        (Role.CLIENT, "web-7", {"zone": "mesh"}, False),
        (Role.CLIENT, "web-7", {"zone": "vm", "kind": "edge", "edge": "web-7", "address": "10.0.0.1"}, False),
        (Role.EDGE, "e", {"zone": "vm", "kind": "edge", "edge": "e", "address": "10.0.0.1"}, True),
        (Role.EDGE, "e", {"zone": "vm", "kind": "edge", "edge": "f", "address": "10.0.0.1"}, False),
        (Role.EDGE, "e", {"zone": "vm"}, False),
    ],
)
async def test_over_tls_a_client_gets_what_its_certificate_proves(company, role, name, node, is_let_in):
    async with (
        hub_of(company, secure=True, zones=("east/vm", "east/mesh")) as hub,
        hub.channel(company.held(role, name)) as channel,
    ):
        client = Delta(channel)
        await client.ask(C, node=node)
        if is_let_in:
            assert (await client.hear()).nonce
            assert next(iter(hub.roster.clients)).profile.viewer.certified == (role is Role.EDGE)
        else:
            code, details = await client.ended()
            assert code is StatusCode.PERMISSION_DENIED
            assert "spiffe://" in details


async def test_a_stream_ends_with_the_identity_that_it_began_with(company: Company):
    held = company.held(Role.CLIENT, "web-7")
    async with hub_of(company, secure=True) as hub, hub.channel(held) as channel:
        client = Delta(channel)
        await client.ask(C, node=VM)
        await client.hear()
        await company.revocations.revoke(str(held.identity))
        await company.authority.refresh()
        code, details = await client.ended()
        assert code is StatusCode.PERMISSION_DENIED
        assert "revoked" in details


async def test_whatever_bytes_come_the_hub_goes_on(company: Company):
    chance = random.Random(7)
    async with hub_of(company) as hub, hub.channel() as channel:
        hub.shelf.put(E, a="1")
        first = Delta(channel)
        await first.ask(E, "a", node=VM)
        heard = await first.hear()
        await first.answer(heard)
        good = heard.SerializeToString()
        for form in ("DeltaAggregatedResources", "StreamAggregatedResources"):
            for _ in range(40):
                data = bytearray(good if chance.random() < 0.5 else chance.randbytes(chance.randrange(200)))
                for _ in range(chance.randrange(8)):
                    data[chance.randrange(len(data)) :] += chance.randbytes(3) if data else b""
                call = channel.stream_stream(f"{ADS}/{form}")()
                await call.write(bytes(data))
                await call.done_writing()
                assert await call.code() in (StatusCode.OK, StatusCode.INVALID_ARGUMENT)
        await first.ask(E, "again")
        assert (await first.hear()).removed_resources == ["again"]


async def test_a_stranger_is_sent_away_before_it_has_said_anything(company: Company):
    stranger = (await Company().open()).held(Role.CLIENT, "web-7")
    anchor = company.authority.trust.anchors[-1]
    key = new_key()
    shown = msgspec.structs.replace(
        stranger, key=key, chain=(strangers_certificate(fingerprint(anchor), key),), trust=company.authority.trust
    )
    async with hub_of(company, secure=True) as hub, hub.channel(shown) as channel:
        code, details = await Delta(channel).ended()
        assert code is StatusCode.PERMISSION_DENIED
        assert "discovery needs a certificate" in details
