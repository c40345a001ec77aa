"""Joining and renewing, with the joiner's own library against a real gRPC server."""

import asyncio
import stat
from datetime import timedelta

import pytest

from pilot_plus.quantities import Address
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.certificates import fingerprint, new_request
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.folder import Folder
from pilot_plus.wire.joining import join, keep_trust, obtain, renew
from pilot_plus.wire.jointoken import JoinToken, new_token
from pilot_plus.wire.line import members_line, strangers_line
from pilot_plus.wire.methods import HELLO, JOIN
from tests.pilot_plus.identity.company import DAY, Company, request
from tests.pilot_plus.servers.join.hub import hub_of


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


async def test_nobody_there_is_no_denial(company, folder):
    with pytest.raises(ConnectionError, match="can't be reached"):
        await join(Address("127.0.0.1:1"), await company.token(), "web-7", folder, company.clock)


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
