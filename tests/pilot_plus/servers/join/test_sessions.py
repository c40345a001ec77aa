"""Sessions of edges and clients, with the library's own client against a real gRPC server."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TypeAlias

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Health, Role, SpiffeId
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.certificates import serial
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.edge import Kind, edge_from_wire, with_status
from pilot_plus.wire.line import members_line
from pilot_plus.wire.methods import MAX_MESSAGE, SERVICE, SESSION
from pilot_plus.wire.proof import Purpose, prove
from pilot_plus.wire.session import Session, Stream, open_session
from pilot_plus.wire.trust import Held, trust_from_wire
from tests.pilot_plus.identity.company import DAY
from tests.pilot_plus.servers.join.hub import Hub, hub_of

REGISTRATION = pb.Registration(
    address="127.0.0.2", outside="127.0.0.9", mesh_port=15443, http_port=15080, version="0.1", region="eu"
)


async def end_of(session: Session) -> None:
    """Hear a session out: it ends by an error."""
    async with asyncio.timeout(10):
        async for _ in session.words():
            pass


@pytest.mark.parametrize("secure", [True, False])
async def test_an_edge_with_a_session_is_an_instance(company, secure):
    async with hub_of(company, secure=secure) as hub:
        held = company.held(secure=secure)
        async with open_session(hub.address, held, REGISTRATION, hub.now) as session:
            assert session.trust.version == company.authority.trust.version
            one = hub.known.edges["vm/edge-1"].as_instance("east")
            assert (one.service, one.id, one.zone, one.address) == ("pilot-plus/edge", "edge-1", "east/vm", "127.0.0.2")
            assert one.meta("pilot-plus-edge-outside") == "127.0.0.9"
            assert one.meta("pilot-plus-identity") == "spiffe://east.example/zone/vm/edge/edge-1"
            assert [(port.name, port.number) for port in one.ports] == [("mesh", 15443), ("http", 15080)]
            assert one.locality.region == "eu"
            listener = pb.Resource(kind=pb.Resource.LISTENER, name="orders")
            said = [pb.Acknowledged(resource=listener, version="v1")]
            await session.report(pb.Status(draining=True, acknowledged=said, serves=["shop/a"], serves_changed=True))
            await hub.known.until(lambda: hub.known.edges["vm/edge-1"].draining)
            edge = hub.known.edges["vm/edge-1"]
            assert edge.as_instance("east").health is Health.DRAINING
            assert edge.acknowledged[Kind.LISTENER, "orders"] == "v1"
            assert edge.serves == {"shop/a"}


async def test_an_edge_that_leaves_is_gone_at_once_and_one_that_breaks_off_is_lost_after_a_grace(company):
    held = company.held()
    async with hub_of(company, grace=30) as hub, open_session(hub.address, held, REGISTRATION, hub.now) as session:
        await session.leave()
        await hub.known.until(lambda: not hub.known.edges)
    async with hub_of(company, grace=0.05) as hub:
        async with open_session(hub.address, company.held(), REGISTRATION, hub.now):
            assert hub.known.edges
        await hub.known.until(lambda: hub.known.log[-1] == "lose vm/edge-1")


async def test_an_edge_that_comes_back_within_the_grace_was_never_gone(company):
    async with hub_of(company, grace=2) as hub:
        async with open_session(hub.address, company.held(), REGISTRATION, hub.now):
            pass
        async with open_session(hub.address, company.held(), REGISTRATION, hub.now):
            await asyncio.sleep(2.2)
            assert hub.known.log == ["put vm/edge-1", "put vm/edge-1"]


async def test_a_hub_that_ends_drops_no_edge(company):
    async with hub_of(company, grace=30) as hub, open_session(hub.address, company.held(), REGISTRATION, hub.now):
        pass
    assert hub.known.log == ["put vm/edge-1"]


async def test_the_newest_session_of_an_identity_has_it(company):
    held = company.held()
    async with hub_of(company, grace=0.05) as hub:
        begin = partial(open_session, hub.address, held, REGISTRATION, hub.now)
        async with begin() as older, begin():
            with pytest.raises(ConnectionError, match="another session of this identity"):
                await end_of(older)
            assert "drop vm/edge-1" not in hub.known.log
        await hub.known.until(lambda: not hub.known.edges)


async def test_a_session_hears_of_new_roots_and_of_revocations(company):
    async with hub_of(company) as hub, open_session(hub.address, company.held(), REGISTRATION, hub.now) as session:
        await company.authority.rotate()
        async with asyncio.timeout(30):
            word = await anext(session.words())
        assert trust_from_wire(word.trust).roots == company.authority.trust.roots
        other = "spiffe://east.example/zone/vm/edge/other"
        await company.revocations.revoke(other)
        await company.authority.refresh()
        async with asyncio.timeout(30):
            word = await anext(session.words())
        assert other in word.trust.revoked_ids


@pytest.mark.parametrize("by_serial", [True, False])
async def test_the_session_of_whoever_is_revoked_ends_and_the_edge_is_gone(company, by_serial):
    held = company.held()
    async with hub_of(company, grace=30) as hub:
        async with open_session(hub.address, held, REGISTRATION, hub.now) as session:
            what = serial(held.chain[0]) if by_serial else str(held.identity)
            await company.revocations.revoke(what, until=company.clock() + DAY)
            await company.authority.refresh()
            with pytest.raises(Denied, match="was revoked"):
                await end_of(session)
        await hub.known.until(lambda: not hub.known.edges)


async def test_the_hub_may_ask_an_edge_to_drain(company):
    held = company.held()
    async with hub_of(company) as hub, open_session(hub.address, held, REGISTRATION, hub.now) as session:
        assert hub.service.say(held.identity, pb.HubWord(drain=pb.Drain(draining=True)))
        async with asyncio.timeout(30):
            assert (await anext(session.words())).drain.draining
        nobody = SpiffeId(trust_domain="east.example", role=Role.EDGE, zone="vm", name="nobody")
        assert not hub.service.say(nobody, pb.HubWord(renew=pb.Renew()))


async def test_a_client_has_a_session_but_is_no_edge(company):
    held = company.held(Role.CLIENT, "web-7")
    async with hub_of(company) as hub, open_session(hub.address, held, None, hub.now) as session:
        assert session.trust.roots
        assert hub.known.log == []
        await session.leave()


async def test_a_session_ends_with_its_certificate(company):
    held = company.held()
    async with hub_of(company) as hub:
        hub.service._sessions._now = lambda: held.expires - timedelta(seconds=0.2)
        async with open_session(hub.address, held, REGISTRATION, hub.now) as session:
            with pytest.raises(ConnectionError, match="certificate that the session began with"):
                await end_of(session)


async def test_an_edge_that_is_refused_hears_why_however_late_it_listens(company):
    held = company.held()
    wrong = pb.Registration(address="127.0.0.2", mesh_port=0, http_port=2)
    async with hub_of(company) as hub:
        for _ in range(20):
            with pytest.raises(Denied, match="port 0"):
                async with open_session(hub.address, held, wrong, hub.now):
                    pass
        async with open_session(hub.address, held, REGISTRATION, hub.now) as session:
            await company.revocations.revoke(str(held.identity))
            await company.authority.refresh()
            await hub.known.until(lambda: not hub.known.edges)
            with pytest.raises(Denied, match="was revoked"):
                await asyncio.gather(*(session.report(pb.Status()) for _ in range(100)))


# ------------------------------------------------------------------------------------------------ hostile callers


Report: TypeAlias = pb.EdgeReport | bytes | Callable[[bytes], pb.EdgeReport]


async def begin(hub: Hub, held: Held, *reports: Report) -> str:
    """Send reports behind the challenge, and give what the hub says when it ends the session for that."""
    async with members_line(hub.address, held, hub.now) as line:
        call = line.channel.stream_stream(f"/{SERVICE}/Session", bytes, SESSION.decode)()
        stream = Stream(call)
        challenge = (await stream.expect("challenge")).challenge.nonce
        with pytest.raises(Denied) as denied:
            await say(stream, [report(challenge) if callable(report) else report for report in reports])
        return str(denied.value)


async def say(stream: Stream, reports: Sequence[pb.EdgeReport | bytes]) -> None:
    for report in reports:
        data = report if isinstance(report, bytes) else report.SerializeToString()
        await stream.write(data)  # type: ignore[arg-type]  # crafted: the channel sends bytes as they are
    async with asyncio.timeout(10):
        while await stream.read() is not None:
            pass


def proof_by(
    held: Held, nonce: bytes = b"", audience: str = "east.example", purpose: Purpose = Purpose.SESSION
) -> Callable[[bytes], pb.EdgeReport]:
    def made(challenge: bytes) -> pb.EdgeReport:
        return pb.EdgeReport(proof=prove(held.key, held.chain, purpose, audience=audience, nonce=nonce or challenge))

    return made


@pytest.mark.parametrize("secure", [True, False])
async def test_a_proof_over_another_nonce_or_for_another_purpose_begins_nothing(company, secure):
    held = company.held(secure=secure)
    async with hub_of(company, secure=secure) as hub:
        for wrong in (
            proof_by(held, nonce=b"recorded" * 4),
            proof_by(held, audience="west.example"),
            proof_by(held, purpose=Purpose.RENEW),
        ):
            assert "proof" in await begin(hub, held, wrong, pb.EdgeReport(registration=REGISTRATION))
        assert hub.known.log == []


async def test_over_tls_the_proof_must_be_the_connections(company):
    held, other = company.held(), company.held(name="edge-2")
    async with hub_of(company) as hub:
        assert "edge-2" in await begin(hub, held, proof_by(other), pb.EdgeReport(registration=REGISTRATION))


async def test_what_can_not_be_is_refused_with_its_place(company):
    held = company.held()
    async with hub_of(company) as hub:
        for wrong, place in (
            (pb.Registration(address="example.com", mesh_port=1, http_port=2), "address"),
            (pb.Registration(address="127.0.0.2", outside="0.0.0.0", mesh_port=1, http_port=2), "outside"),
            (pb.Registration(address="127.0.0.2", mesh_port=0, http_port=2), "port 0"),
            (pb.Registration(address="127.0.0.2", mesh_port=70000, http_port=2), "port 70000"),
            (pb.Registration(address="127.0.0.2", mesh_port=1, http_port=2, version="a\nb"), "control character"),
        ):
            assert place in await begin(hub, held, proof_by(held), pb.EdgeReport(registration=wrong))
        assert hub.known.log == []


async def test_crafted_bytes_end_their_own_session_only(company):
    held = company.held()
    registered = pb.EdgeReport(registration=REGISTRATION)
    unknown = pb.Status(acknowledged=[pb.Acknowledged(version="v")])
    other = company.held(name="good")
    async with hub_of(company) as hub, open_session(hub.address, other, REGISTRATION, hub.now) as good:
        for wrong in (b"\xff\xff", b"\x0a" * 9, b"x" * (MAX_MESSAGE + 1)):
            assert "EdgeReport" in await begin(hub, held, wrong) or len(wrong) > MAX_MESSAGE
            assert await begin(hub, held, proof_by(held), registered, wrong)
        assert "unknown kind" in await begin(hub, held, proof_by(held), registered, pb.EdgeReport(status=unknown))
        await good.report(pb.Status(draining=True))
        await hub.known.until(lambda: hub.known.edges["vm/good"].draining)


WHO = SpiffeId(trust_domain="east.example", role=Role.EDGE, zone="vm", name="edge-1")


@given(st.binary(max_size=300), st.text(max_size=40), st.text(max_size=40), st.integers(0, 2**32 - 1))
def test_whatever_an_edge_says_is_an_edge_or_a_value_error(data, address, text, port):
    for said in (pb.Registration(address=address, version=text, mesh_port=port, http_port=port, region=text), data):
        try:
            registration = pb.Registration.FromString(said) if isinstance(said, bytes) else said
        except DecodeError:
            continue
        try:
            edge = edge_from_wire(WHO, registration)
        except ValueError:
            continue
        assert edge.as_instance("east").id == "edge-1"


@given(st.binary(max_size=300), st.text(max_size=40), st.integers(0, 9))
def test_whatever_an_edge_reports_is_an_edge_or_a_value_error(data, text, kind):
    edge = edge_from_wire(WHO, REGISTRATION)
    said = pb.Status(serves=[text], serves_changed=True, tunnels=[text], tunnels_changed=True, error=text)
    said.acknowledged.add(resource=pb.Resource(kind=kind, name=text), version=text)
    statuses = [said]
    with suppress(DecodeError):
        statuses.append(pb.Status.FromString(data))
    for status in statuses:
        try:
            with_status(edge, status).as_instance("east")
        except ValueError:
            continue
