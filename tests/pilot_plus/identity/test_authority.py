import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from pilot_plus.config import ConfigError, parse
from pilot_plus.identity import Authority, FileRoots, MemoryStore, Revocations, Settings, roots_of, settings_of
from pilot_plus.identity.leaves import new_leaf, new_root
from pilot_plus.model import Role
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.certificates import (
    check_chain,
    der,
    key_pem,
    new_key,
    new_request,
    pem,
    read_request,
    serial,
    spiffe_of,
)
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.proof import Purpose, prove
from pilot_plus.wire.stranger import strangers_authority, strangers_certificate
from tests.pilot_plus.identity.company import DAY, DOMAIN, Clock, Company, request


@pytest.fixture
async def company():
    return await Company().open()


async def test_every_copy_of_the_hub_has_the_same_root():
    store = MemoryStore()
    one, two = await asyncio.gather(Company(store).open(), Company(store).open())
    assert one.authority.trust.roots == two.authority.trust.roots
    assert one.authority.trust.version == two.authority.trust.version


async def test_a_leaf_says_who_one_is_and_nothing_of_the_request_but_its_key(company):
    key = new_key()
    evil = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/hub")])
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hub")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name).add_extension(evil, critical=True)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    csr = builder.sign(key, SHA256())
    asked = csr.public_bytes(Encoding.DER)
    issued = await company.gate.join((await company.token(edge=True)).text, asked, "edge-1")
    leaf = issued.chain[0]
    assert str(spiffe_of(leaf)) == f"spiffe://{DOMAIN}/zone/vm/edge/edge-1"
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.public_key() == key.public_key()
    assert leaf.not_valid_after_utc - company.clock() == DAY
    check_chain(issued.chain, company.authority.trust.roots, company.clock())


def test_a_request_whose_key_is_weak_or_whose_signature_is_wrong_is_refused():
    with pytest.raises(ValueError, match="2048"):
        read_request(new_request(rsa.generate_private_key(65537, 1024)))
    with pytest.raises(ValueError, match="P-256"):
        read_request(new_request(ec.generate_private_key(ec.SECP256K1())))
    good = bytearray(request())
    good[-1] ^= 1
    with pytest.raises(ValueError, match=r"signature|request"):
        read_request(bytes(good))


async def test_a_certificate_of_another_authority_is_nobodys(company):
    other = await Company().open()
    with pytest.raises(ValueError, match="no authority that is believed"):
        company.authority.bearer(other.held().chain)


async def test_a_strangers_certificate_is_nobodys(company):
    fingerprint = company.authority.state.fingerprint
    chain = [strangers_certificate(fingerprint, new_key()), strangers_authority(fingerprint)]
    with pytest.raises(ValueError, match="no authority that is believed"):
        company.authority.bearer(chain)


async def test_a_root_is_nobodys_identity(company):
    with pytest.raises(ValueError, match="nobody's identity"):
        company.authority.bearer(company.authority.trust.roots)


async def test_a_leaf_can_not_issue(company):
    held = company.held()
    begin, key = held.chain[0].not_valid_before_utc, new_key().public_key()
    forged = new_leaf(held.chain[0], held.key, key, held.identity, now=begin, until=held.expires)
    with pytest.raises(ValueError, match="is no authority's"):
        company.authority.bearer([forged, *held.chain])


async def test_a_certificate_ends(company):
    held = company.held()
    assert company.authority.bearer(held.chain) == held.identity
    company.clock.turn(DAY + timedelta(seconds=1))
    with pytest.raises(ValueError, match="valid from"):
        company.authority.bearer(held.chain)


async def test_a_revoked_identity_is_refused_and_may_be_given_back(company):
    held = company.held()
    seen = company.authority.trust
    await company.revocations.revoke(str(held.identity), "stolen")
    await company.authority.refresh()
    assert company.authority.trust.version != seen.version
    with pytest.raises(ValueError, match="was revoked"):
        company.authority.bearer(held.chain)
    with pytest.raises(Denied, match="was revoked"):
        await company.gate.renew(held.identity, request())
    with pytest.raises(Denied, match="was revoked"):
        await company.gate.join((await company.token(edge=True)).text, request(), held.identity.name)
    await company.revocations.lift(str(held.identity))
    await company.authority.refresh()
    assert company.authority.bearer(held.chain) == held.identity


async def test_a_revoked_certificate_is_on_a_list_by_every_root_until_it_would_have_ended(company):
    held, other = company.held(), company.held(name="edge-2")
    await company.revocations.revoke(serial(held.chain[0]), until=company.clock() + DAY)
    await company.authority.rotate()
    trust = company.authority.trust
    lists = [x509.load_der_x509_crl(one) for one in trust.crls]
    assert len(lists) == len(trust.roots) == 2
    for crl, root in zip(lists, trust.roots, strict=True):
        assert crl.is_signature_valid(root.public_key())
        assert crl.get_revoked_certificate_by_serial_number(held.chain[0].serial_number) is not None
        assert crl.get_revoked_certificate_by_serial_number(other.chain[0].serial_number) is None
    with pytest.raises(ValueError, match="was revoked"):
        company.authority.bearer(held.chain)
    assert company.authority.bearer(other.chain)
    company.clock.turn(DAY + timedelta(seconds=1))
    await company.authority.refresh()
    assert company.authority.trust.crls == ()


async def test_over_a_rotation_every_certificate_is_believed_by_every_holder_of_another(company):
    holders = [company.held(name=f"e{index}") for index in range(3)]
    first = company.authority.trust.roots[0]
    signers, bundles = set(), set()
    for hour in range(0, 80, 2):
        if hour == 4:
            await company.authority.rotate()
        company.clock.turn(timedelta(hours=2))
        await company.authority.refresh()
        renewing = hour // 2 % 10  # each renews every 20 hours, at another time: late, as if the hub had been away
        if renewing < 3:
            holders[renewing] = company.held(name=f"e{renewing}")
        for one in holders:
            assert company.authority.bearer(one.chain) == one.identity
            for other in holders:
                check_chain(one.chain, other.trust.roots, company.clock())
            check_chain(company.authority.state.hub.chain, one.trust.roots, company.clock())
        signers.add(company.authority.state.signer.certificate)
        bundles.add(len(company.authority.trust.roots))
    assert len(signers) == 2
    assert bundles == {1, 2}
    assert first not in company.authority.trust.roots


async def test_the_new_root_signs_only_after_everybody_has_heard_of_it(company):
    before = company.authority.state
    await company.authority.rotate()
    assert len(company.authority.trust.roots) == 2
    assert company.authority.state.signer.certificate == before.signer.certificate
    assert company.authority.state.fingerprint == before.fingerprint
    with pytest.raises(ValueError, match="already"):
        await company.authority.rotate()
    company.clock.turn(DAY - timedelta(seconds=1))
    await company.authority.refresh()
    assert company.authority.state.signer.certificate == before.signer.certificate
    company.clock.turn(timedelta(seconds=1))
    await company.authority.refresh()
    assert company.authority.state.signer.certificate == company.authority.trust.roots[-1]
    assert company.authority.state.fingerprint != before.fingerprint


async def test_two_copies_that_rotate_at_once_make_one_new_root():
    store, clock = MemoryStore(), Clock()
    copies = [await Company(store, clock).open() for _ in range(2)]
    answers = await asyncio.gather(*(copy.authority.rotate() for copy in copies), return_exceptions=True)
    assert sum(isinstance(answer, ValueError) for answer in answers) == 1
    for copy in copies:
        await copy.authority.refresh()
        assert len(copy.authority.trust.roots) == 2


async def test_a_root_that_ends_soon_is_replaced_by_itself(company):
    company.clock.turn(3000 * DAY)
    await company.authority.refresh()
    assert len(company.authority.trust.roots) == 2


async def test_who_waits_for_trust_hears_of_a_change(company):
    seen = company.authority.trust
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(30):
        waiting = tasks.create_task(company.authority.next_trust(seen))
        await asyncio.sleep(0)
        await company.authority.refresh()
        assert company.authority.trust is seen  # the same, so that nobody is woken
        await company.authority.rotate()
        assert (await waiting).version != seen.version


async def test_the_hubs_own_certificate_is_renewed_after_a_third_of_its_life(company):
    first = company.authority.state.hub.chain[0]
    company.clock.turn(timedelta(hours=7))
    await company.authority.refresh()
    assert company.authority.state.hub.chain[0] == first
    serving = company.authority.serving()
    company.clock.turn(timedelta(hours=1))
    await company.authority.refresh()
    assert company.authority.state.hub.chain[0] != first
    assert company.authority.serving() is not serving


async def test_a_proof_is_for_one_purpose_one_nonce_one_body_and_one_trust_domain(company):
    held = company.held()

    def proof(
        purpose: Purpose = Purpose.RENEW, audience: str = DOMAIN, nonce: bytes = b"n" * 32, body: bytes = b"csr"
    ) -> pb.Proof:
        return prove(held.key, held.chain, purpose, audience=audience, nonce=nonce, body=body)

    assert company.gate.prover(proof(), Purpose.RENEW, b"csr") == held.identity
    other = proof()
    other.nonce = b"m" * 32
    stranger = proof()
    stranger.chain[:] = [der(company.held(name="edge-2").chain[0])]
    for wrong in (proof(purpose=Purpose.SESSION), proof(audience="west.example"), proof(body=b""), other, stranger):
        with pytest.raises(Denied, match="proof"):
            company.gate.prover(wrong, Purpose.RENEW, b"csr")


async def test_nothing_that_is_shown_holds_a_key(company):
    held = company.held()
    state = company.authority.state
    shown = repr([company.authority, state, state.hub, state.serving, state.signer, held, company.gate])
    assert "PRIVATE" not in shown
    assert "EllipticCurvePrivateKey" not in shown


# ------------------------------------------------------------------------------------------------ files


def write_root(tmp_path: Path, name: str = "root", *, others: bytes = b"") -> tuple[x509.Certificate, Path, Path]:
    key = new_key()
    root = new_root(key, DOMAIN, Clock()(), 3650 * DAY)
    certificate, private = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
    certificate.write_bytes(pem([root]) + others)
    private.write_bytes(key_pem(key))
    return root, certificate, private


async def test_a_root_given_as_files_signs_and_what_stands_behind_it_is_believed(tmp_path):
    old, old_file, _ = write_root(tmp_path, "old")
    root, certificate, key = write_root(tmp_path, others=old_file.read_bytes())
    text = f"cluster: east\nidentity: {{root_cert: {certificate}, root_key: {key}}}"
    config = parse(text)
    store, clock = MemoryStore(), Clock()
    roots = roots_of(config, store, clock)
    assert isinstance(roots, FileRoots)
    authority = await Authority.open(settings_of(config), roots, Revocations(store, clock), clock)
    assert set(authority.trust.roots) == {old, root}
    assert authority.state.signer.certificate == root
    assert await store.list("identity") == []
    with pytest.raises(ValueError, match="given as files"):
        await authority.rotate()


async def test_a_key_that_is_not_the_certificates_is_refused_with_the_file(tmp_path):
    _, certificate, _ = write_root(tmp_path)
    _, _, key = write_root(tmp_path, "other")
    with pytest.raises(ValueError, match=r"other\.key is not the key"):
        await FileRoots(certificate, key).load()


async def test_the_hub_may_show_a_certificate_from_files_and_believe_other_authorities(tmp_path):
    root, certificate, key = write_root(tmp_path)
    settings = Settings(trust_domain=DOMAIN, hub_cert=str(certificate), hub_key=str(key), client_ca=str(certificate))
    company = Company()
    company.settings = settings
    await company.open()
    authority = company.authority
    assert authority.trust.hub_anchors == (root,)
    assert authority.trust.hub_name == ""
    assert root not in authority.trust.roots
    elsewhere = Company()
    elsewhere.roots = FileRoots(certificate, key)  # type: ignore[assignment]
    held = (await elsewhere.open()).held(Role.CLIENT, "web-7")
    assert authority.bearer(held.chain) == held.identity


def test_the_configuration_of_identity_is_checked():
    for wrong in ("root_cert: a", "leaf_ttl: 1s", "leaf_ttl: 9000d"):
        with pytest.raises(ConfigError, match=r"^identity"):
            parse(f"cluster: east\nidentity: {{{wrong}}}")


def test_a_trust_domain_that_is_none_is_refused_with_its_key():
    with pytest.raises(ValueError, match=r"^mesh\.trust_domain: 'East"):
        Settings(trust_domain="East.Example")
