"""Joining and renewing, with the joiner's own library against a real gRPC server."""

import asyncio
import datetime as dt
import stat
from collections.abc import Sequence
from datetime import timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from grpc import aio

from pilot_plus.model import Role
from pilot_plus.quantities import Address
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire import stranger
from pilot_plus.wire.certificates import PrivateKey, fingerprint, key_pem, new_key, new_request, pem
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.folder import Folder
from pilot_plus.wire.joining import join, keep_trust, obtain, renew
from pilot_plus.wire.jointoken import JoinToken, new_token
from pilot_plus.wire.line import members_line, strangers_line
from pilot_plus.wire.methods import HELLO, JOIN, RENEW, SERVICE, A, Method, Q, channel_options
from pilot_plus.wire.proof import Purpose, prove
from tests.pilot_plus.identity.company import DAY, Company, request
from tests.pilot_plus.servers.join.hub import Hub, hub_of


@pytest.fixture
async def company():
    return await Company().open()


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "data")


@pytest.mark.parametrize("secure", [True, False])
async def test_an_edge_joins_and_renews(company, folder, secure):
    async with hub_of(company, secure=secure) as hub:
        held = await join(hub.address, await company.token(edge=True), "edge-1", folder, hub.now)
        assert str(held.identity) == "spiffe://east.example/zone/vm/edge/edge-1"
        assert held.secure == secure
        assert held.trust.version == company.authority.trust.version
        company.clock.turn(timedelta(hours=9))
        younger = await renew(hub.address, held, folder, hub.now)
        assert younger.identity == held.identity
        assert younger.expires - held.expires == timedelta(hours=9)
        assert younger.chain[0].public_key() != held.chain[0].public_key()
        assert folder.held().chain == younger.chain


@pytest.mark.parametrize("secure", [True, False])
async def test_a_service_joins_with_its_token(company, folder, secure):
    async with hub_of(company, secure=secure) as hub:
        held = await join(hub.address, await company.token(service="shop/orders"), "", folder, hub.now)
        assert str(held.identity) == "spiffe://east.example/zone/vm/ns/shop/svc/orders"


async def test_the_folder_is_its_owners_only_and_its_files_always_fit(company, folder):
    async with hub_of(company) as hub:
        held = await join(hub.address, await company.token(uses=1), "web-7", folder, hub.now)
        for path in (folder.path, *folder.path.rglob("*")):
            if not path.is_symlink():
                assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        assert not (folder.path / "pending.pem").exists()
        for _ in range(3):
            held = await renew(hub.address, held, folder, hub.now)
        assert sorted(path.name for path in folder.path.iterdir()) == ["identity", "identity.3", "identity.4"]


async def test_an_identity_in_the_folder_is_used_before_the_token(company, folder):
    async with hub_of(company) as hub:
        token = await company.token()
        first = await obtain(hub.address, token, "web-7", folder, hub.now)
        again = await obtain(hub.address, None, "web-7", folder, hub.now)
        assert again.chain == first.chain
        company.clock.turn(2 * DAY)
        with pytest.raises(Denied, match="no token to get one"):
            await obtain(hub.address, None, "web-7", folder, hub.now)


async def test_a_joiner_whose_answer_was_lost_joins_again_with_the_same_token(company, folder):
    async with hub_of(company) as hub:
        token = await company.token()
        question = pb.JoinRequest(token=token.text, csr=new_request(folder.pending_key()), name="web-7")
        async with strangers_line(hub.address, token.fingerprint, hub.now) as line:
            await JOIN.call(line.channel, question)  # the process dies here
        assert (await join(hub.address, token, "web-7", folder, hub.now)).identity.name == "web-7"


async def test_of_two_at_once_one_joins_with_a_token_for_one_use(company, tmp_path):
    async with hub_of(company) as hub:
        token = await company.token()
        joins = [join(hub.address, token, f"c{index}", Folder(tmp_path / str(index)), hub.now) for index in range(4)]
        answers = await asyncio.gather(*joins, return_exceptions=True)
        denied = [answer for answer in answers if isinstance(answer, Denied)]
        assert len(denied) == 3
        assert all("used 1 of 1 times" in str(answer) for answer in denied)


async def test_an_expired_and_an_unknown_token_are_refused(company, folder):
    async with hub_of(company) as hub:
        token = await company.token(ttl=timedelta(seconds=5))
        company.clock.turn(timedelta(seconds=6))
        with pytest.raises(Denied, match="expired"):
            await join(hub.address, token, "web-7", folder, hub.now)
        with pytest.raises(Denied, match="unknown"):
            await join(hub.address, new_token(token.fingerprint), "web-7", folder, hub.now)
        assert folder.held() is None


async def test_who_fails_too_often_has_to_wait_and_members_do_not(company, folder, tmp_path):
    async with hub_of(company) as hub:
        good = await join(hub.address, await company.token(), "web-7", folder, hub.now)
        async with strangers_line(hub.address, company.authority.state.fingerprint, hub.now) as line:
            for _ in range(20):
                with pytest.raises(Denied):
                    await JOIN.call(line.channel, pb.JoinRequest(token="ppt1.x.y", csr=request(), name="a"))
        with pytest.raises(ConnectionError, match="too many failures"):
            await join(hub.address, await company.token(), "web-8", Folder(tmp_path / "other"), hub.now)
        await renew(hub.address, good, folder, hub.now)


# ------------------------------------------------------------------------------------------------ the wrong hub


class Thief:
    """Takes the place of a hub, and keeps what it hears."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.heard: list[bytes] = []

    async def serve(self, credentials: grpc.ServerCredentials | None) -> tuple[aio.Server, Address]:
        async def hear(data: bytes, _: object) -> bytes:
            self.heard.append(data)
            asked = pb.HelloRequest.FromString(data)
            proof = self.company.gate.prove_hub(asked.nonce, b"n" * 32)
            return pb.HelloResponse(nonce=b"n" * 32, proof=proof).SerializeToString()

        methods = {name: grpc.unary_unary_rpc_method_handler(hear) for name in ("Hello", "Join", "Renew")}
        server = aio.server()
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        place = "127.0.0.1:0"
        port = server.add_secure_port(place, credentials) if credentials else server.add_insecure_port(place)
        await server.start()
        return server, Address(f"127.0.0.1:{port}")


def thieves_credentials(chain: Sequence[x509.Certificate], key: PrivateKey, clients: bytes) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([(key_pem(key), pem(chain))], clients, require_client_auth=True)


async def test_a_hub_with_another_root_never_sees_the_token(company, folder):
    thief = Thief(await Company().open())
    serving = thief.company.authority.serving()
    credentials = grpc.ssl_server_credentials([(serving.key, serving.chain)], serving.clients, require_client_auth=True)
    server, address = await thief.serve(credentials)
    with pytest.raises(Denied, match="is not the hub that the token is for"):
        await join(address, await company.token(), "web-7", folder, company.clock)
    assert thief.heard == []
    await server.stop(0)


async def test_showing_the_right_root_beside_another_certificate_is_not_enough(company, folder):
    """The root is no secret. What counts is that the hub's own certificate descends from it."""
    thief = Thief(await Company().open())
    hub = thief.company.authority.state.hub
    root = company.authority.trust.roots[0]
    token = await company.token()
    clients = pem([stranger.strangers_authority(token.fingerprint)])
    for chain in ([hub.chain[0], root], [hub.chain[0], hub.chain[1], root]):
        server, address = await thief.serve(thieves_credentials(chain, hub.key, clients))
        with pytest.raises(Denied, match="is not the hub that the token is for"):
            await join(address, token, "web-7", folder, company.clock)
        await server.stop(0)
    assert thief.heard == []


async def test_a_member_is_not_taken_for_the_hub(company, folder):
    """An edge has a certificate by the right root: it can show it, but it lacks the hub's name."""
    edge = company.held()
    thief = Thief(company)
    token = await company.token()
    clients = pem([stranger.strangers_authority(token.fingerprint)])
    chain = [*edge.chain, *company.authority.trust.roots]
    server, address = await thief.serve(thieves_credentials(chain, edge.key, clients))
    with pytest.raises((ConnectionError, Denied)):
        await join(address, token, "web-7", folder, company.clock)
    with pytest.raises((ConnectionError, Denied)):
        await renew(address, company.held(Role.CLIENT, "web-8"), folder, company.clock)
    assert thief.heard == []
    await server.stop(0)


async def test_a_plaintext_hub_that_can_not_prove_itself_never_sees_the_token(company, folder):
    thief = Thief(await Company().open())
    server, address = await thief.serve(None)
    token = await company.token()
    with pytest.raises(Denied, match="is not the hub that it should be"):
        await join(address, token, "web-7", folder, company.clock)
    with pytest.raises(Denied, match="is not the hub that it should be"):
        await renew(address, company.held(secure=False), folder, company.clock)
    assert len(thief.heard) == 2
    assert all(token.secret not in said and token.text.encode() not in said for said in thief.heard)
    await server.stop(0)


async def test_a_hub_that_was_met_over_tls_is_never_believed_without(company, folder):
    async with hub_of(company, secure=False) as hub:
        with pytest.raises(ConnectionError):
            await renew(hub.address, company.held(secure=True), folder, hub.now)


async def test_without_tls_no_other_machine_is_believed(company, folder):
    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"no TLS here, but this is not HTTP/2 either")
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Denied, match="and is elsewhere"):
        await join(Address(f"127.1:{port}"), await company.token(), "web-7", folder, company.clock)
    server.close()


async def test_nobody_there_is_no_denial(company, folder):
    with pytest.raises(ConnectionError, match="can't be reached"):
        await join(Address("127.0.0.1:1"), await company.token(), "web-7", folder, company.clock)


# ------------------------------------------------------------------------------------------------ who may connect


async def call_with(
    hub: Hub, key: PrivateKey | None, chain: Sequence[x509.Certificate], method: Method[Q, A], question: Q
) -> A:
    root = pem(hub.company.authority.trust.roots)
    credentials = grpc.ssl_channel_credentials(root, key_pem(key) if key else None, pem(chain) if chain else None)
    async with aio.secure_channel(hub.address, credentials, channel_options("hub.east.example")) as channel:
        return await method.call(channel, question)


def forged(company: Company, *, uri: str, through: bool = False) -> tuple[PrivateKey, list[x509.Certificate]]:
    """A certificate that claims an identity under the strangers' authority, whose key everybody can derive."""
    authority = stranger.strangers_authority(company.authority.state.fingerprint)
    issuer_key = stranger._authority_key(company.authority.state.fingerprint)
    chain = []
    if through:
        own = new_key()
        chain = [made("between", authority.subject, own.public_key(), issuer_key)]
        issuer_key, authority = own, chain[0]
    key = new_key()
    return key, [made("edge-1", authority.subject, key.public_key(), issuer_key, uri), *chain]


def made(
    name: str,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    uri: str = "",
) -> x509.Certificate:
    """An authority, unless it has an identity."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    builder = (
        builder.serial_number(7).not_valid_before(dt.datetime(2021, 1, 1)).not_valid_after(dt.datetime(2099, 1, 1))
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=not uri, path_length=None), critical=True)
    if uri:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, SHA256())


@pytest.mark.parametrize("through", [False, True])
async def test_nobody_claims_an_identity_under_the_strangers_authority(company, through):
    async with hub_of(company) as hub:
        key, chain = forged(company, uri="spiffe://east.example/zone/vm/edge/edge-1", through=through)
        with pytest.raises(ConnectionError):  # TLS itself refuses it
            await call_with(hub, key, chain, RENEW, pb.RenewRequest(csr=request()))
        key, chain = forged(company, uri="spiffe://stranger.invalid/zone/vm/edge/edge-1", through=through)
        with pytest.raises(Denied, match="can't be renewed"):  # and the hub, where TLS lets it through
            await call_with(hub, key, chain, RENEW, pb.RenewRequest(csr=request()))


async def test_without_any_certificate_nobody_connects(company):
    async with hub_of(company) as hub:
        with pytest.raises(ConnectionError):
            await call_with(hub, None, [], HELLO, pb.HelloRequest(nonce=b"n" * 32))


async def test_a_certificate_of_another_root_does_not_connect(company):
    other = (await Company().open()).held()
    async with hub_of(company) as hub:
        with pytest.raises(ConnectionError):
            await call_with(hub, other.key, other.chain, RENEW, pb.RenewRequest(csr=request()))


async def test_over_tls_a_proof_is_no_way_around_the_certificate(company):
    """A stranger who got hold of somebody's proof could not use it."""
    held = company.held()
    expected = company.authority.state.fingerprint
    async with hub_of(company) as hub, strangers_line(hub.address, expected, hub.now) as line:
        hello = await HELLO.call(line.channel, pb.HelloRequest(nonce=b"n" * 32))
        csr = request()
        proof = prove(held.key, held.chain, Purpose.RENEW, audience="east.example", nonce=hello.nonce, body=csr)
        with pytest.raises(Denied, match="can't be renewed"):
            await RENEW.call(line.channel, pb.RenewRequest(csr=csr, proof=proof))


async def test_a_revoked_or_expired_identity_renews_no_more(company, folder):
    async with hub_of(company) as hub:
        held = company.held()
        await company.revocations.revoke(str(held.identity))
        await company.authority.refresh()
        with pytest.raises(Denied, match="was revoked"):
            await renew(hub.address, held, folder, hub.now)
    async with hub_of(company, secure=False) as hub:
        held = company.held(name="edge-2", secure=False)
        company.clock.turn(timedelta(hours=25))
        await company.authority.refresh()
        with pytest.raises(Denied, match="valid from"):
            await renew(hub.address, held, folder, hub.now)


# ------------------------------------------------------------------------------------------------ plaintext


async def test_a_recorded_proof_is_worth_nothing(company):
    async with hub_of(company, secure=False) as hub:
        held = company.held(secure=False)
        async with members_line(hub.address, held, hub.now) as line:
            csr = request()
            proof = prove(held.key, held.chain, Purpose.RENEW, audience="east.example", nonce=line.nonce, body=csr)
            recorded = pb.RenewRequest(csr=csr, proof=proof)
            await RENEW.call(line.channel, recorded)
            with pytest.raises(Denied, match="fresh nonce"):
                await RENEW.call(line.channel, recorded)
        async with members_line(hub.address, held, hub.now) as line:
            proof = prove(held.key, held.chain, Purpose.RENEW, audience="east.example", nonce=line.nonce, body=csr)
            with pytest.raises(Denied, match="something else"):  # another key under the same proof
                await RENEW.call(line.channel, pb.RenewRequest(csr=request(), proof=proof))
        async with members_line(hub.address, held, hub.now) as line:
            with pytest.raises(Denied, match="fresh nonce"):
                await RENEW.call(line.channel, pb.RenewRequest(csr=csr))


# ------------------------------------------------------------------------------------------------ rotation


async def test_the_hub_rotates_its_root_and_members_go_on_over_open_and_new_connections(folder, tmp_path):
    """TLS looks at the real clock: so a certificate lives eight minutes here, and the test turns four about now."""
    company = Company(leaf_ttl=timedelta(minutes=8))
    company.clock.turn(timedelta(minutes=-4))
    await company.open()
    async with hub_of(company) as hub:
        held = await join(hub.address, await company.token(edge=True), "edge-1", folder, hub.now)
        async with members_line(hub.address, held, hub.now) as line:
            await HELLO.call(line.channel, pb.HelloRequest(nonce=b"n" * 32))
            await company.authority.rotate()
            held = await renew(hub.address, held, folder, hub.now)
            assert len(held.trust.roots) == 2
            company.clock.turn(timedelta(minutes=8))
            await company.authority.refresh()
            assert fingerprint(company.authority.state.hub.chain[-1]) == fingerprint(held.trust.roots[1])
            assert await HELLO.call(line.channel, pb.HelloRequest(nonce=b"n" * 32))  # the first connection lives on
        younger = await renew(hub.address, held, folder, hub.now)
        assert held.chain[0].issuer == held.trust.roots[0].subject
        assert younger.chain[0].issuer == held.trust.roots[1].subject
        joined = await join(hub.address, await company.token(), "web-7", Folder(tmp_path / "new"), hub.now)
        assert joined.identity.name == "web-7"


async def test_trust_that_a_session_brings_is_kept_beside_the_same_certificate(company, folder):
    async with hub_of(company) as hub:
        held = await join(hub.address, await company.token(edge=True), "edge-1", folder, hub.now)
        assert keep_trust(held, held.trust, folder) is held
        await company.revocations.revoke("ab:cd", until=company.clock() + DAY)
        await company.authority.refresh()
        kept = keep_trust(held, company.authority.trust, folder)
        read = folder.held()
        assert read is not None
        assert read.trust == kept.trust
        assert read.trust.crls
        assert read.chain == held.chain


def test_a_folder_with_files_that_do_not_fit_holds_nobody(folder):
    assert folder.held() is None
    folder.pending_key()
    assert folder.held() is None


def test_a_token_is_not_in_the_repr_of_anything():
    assert "secret" not in repr(JoinToken(b"f" * 32, b"secret" * 5 + b"ab"))
