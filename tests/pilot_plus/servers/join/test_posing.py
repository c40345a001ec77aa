"""Who poses as the hub, or as a member: no token is shown to the one, and nobody believes the other."""

import asyncio
import datetime as dt
from collections.abc import Sequence

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
from pilot_plus.wire.certificates import PrivateKey, key_pem, new_key, pem
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.joining import join, renew
from pilot_plus.wire.line import members_line, strangers_line
from pilot_plus.wire.methods import HELLO, RENEW, SERVICE, A, Method, Q, channel_options
from pilot_plus.wire.proof import Purpose, prove
from tests.pilot_plus.identity.company import Company, request
from tests.pilot_plus.servers.join.hub import Hub, hub_of

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
