import asyncio
from datetime import timedelta

import msgspec
import pytest

from pilot_plus.identity import Conflict, JournalStore, MemoryStore
from pilot_plus.identity.tokens import KIND, Grant
from pilot_plus.journal import Conflict as JournalConflict
from pilot_plus.journal import Journal
from pilot_plus.wire.certificates import PublicKey, checked_key, new_key
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.jointoken import JoinToken
from tests.pilot_plus.identity.company import Company


def key() -> PublicKey:
    return checked_key(new_key().public_key())


@pytest.fixture
async def company():
    return await Company().open()


async def test_a_token_gives_the_identity_that_it_was_made_for(company):
    edge = await company.tokens.redeem(await company.token(edge=True), "edge-1", key())
    assert str(edge) == "spiffe://east.example/zone/vm/edge/edge-1"
    client = await company.tokens.redeem(await company.token(), "web-7", key())
    assert str(client) == "spiffe://east.example/zone/vm/client/web-7"
    service = await company.tokens.redeem(await company.token(service="shop/orders"), "whatever", key())
    assert str(service) == "spiffe://east.example/zone/vm/ns/shop/svc/orders"


async def test_a_token_for_one_name_gives_no_other(company):
    token = await company.token(edge=True, name="edge-1", uses=9)
    assert (await company.tokens.redeem(token, "", key())).name == "edge-1"
    with pytest.raises(Denied, match="for the name 'edge-1'"):
        await company.tokens.redeem(token, "edge-2", key())


@pytest.mark.parametrize("name", ["", "..", "a/b", "edge 1", "x" * 65, "-a", "a\n"])
async def test_an_edge_can_not_ask_for_a_name_that_is_none(company, name):
    with pytest.raises(Denied, match="no name for an edge"):
        await company.tokens.redeem(await company.token(edge=True), name, key())


async def test_a_token_is_spent_after_its_uses(company):
    token = await company.token(uses=2)
    await company.tokens.redeem(token, "a", key())
    await company.tokens.redeem(token, "b", key())
    with pytest.raises(Denied, match="used 2 of 2 times"):
        await company.tokens.redeem(token, "c", key())


async def test_asking_again_with_the_same_key_and_name_counts_once(company):
    token, own = await company.token(), key()
    assert await company.tokens.redeem(token, "a", own) == await company.tokens.redeem(token, "a", own)
    with pytest.raises(Denied, match="used 1 of 1"):
        await company.tokens.redeem(token, "b", own)
    assert (await company.tokens.list())[0].used == 1


async def test_a_token_ends_with_its_time(company):
    token = await company.token(ttl=timedelta(minutes=5), uses=0)
    company.clock.turn(timedelta(minutes=4, seconds=59))
    await company.tokens.redeem(token, "a", key())
    company.clock.turn(timedelta(seconds=1))
    with pytest.raises(Denied, match="has expired"):
        await company.tokens.redeem(token, "b", key())


async def test_of_two_joiners_at_two_copies_of_the_hub_one_gets_the_last_use(tmp_path):
    async with Journal.open(f"sqlite:///{tmp_path}/j.db") as one, Journal.open(f"sqlite:///{tmp_path}/j.db") as two:
        copies = [await Company(JournalStore(journal.documents, JournalConflict)).open() for journal in (one, two)]
        assert copies[0].authority.state.fingerprint == copies[1].authority.state.fingerprint
        token = await copies[0].token(uses=3)
        asked = [copies[index % 2].tokens.redeem(token, f"c{index}", key()) for index in range(12)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(not isinstance(answer, BaseException) for answer in answers) == 3
        assert all("used 3 of 3" in str(answer) for answer in answers if isinstance(answer, BaseException))
        assert (await copies[1].tokens.list())[0].used == 3


async def test_what_is_kept_lets_nobody_join(company):
    token = await company.token()
    kept = b"".join(found.payload for found in await company.store.list(KIND))
    assert token.secret.hex().encode() not in kept
    assert token.text.rpartition(".")[2].encode() not in kept
    stolen = JoinToken(token.fingerprint, bytes.fromhex(msgspec.json.decode(kept)["hash"]))
    with pytest.raises(Denied, match="unknown"):
        await company.tokens.redeem(stolen, "a", key())


async def test_a_revoked_token_is_unknown(company):
    token = await company.token()
    assert await company.tokens.revoke(token.id)
    assert not await company.tokens.revoke(token.id)
    with pytest.raises(Denied, match="unknown"):
        await company.tokens.redeem(token, "a", key())


async def test_a_token_that_ended_long_ago_is_removed(company):
    await company.token(ttl=timedelta(seconds=1))
    assert len(await company.tokens.list()) == 1
    company.clock.turn(timedelta(days=2))
    assert await company.tokens.list() == []
    assert await company.store.list(KIND) == []


@pytest.mark.parametrize(
    "wrong",
    [{"edge": True, "service": "a/b"}, {"service": "orders"}, {"service": "a/b", "name": "x"}, {"name": "\n"}],
)
def test_a_grant_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"token|service|hold"):
        Grant(zone="vm", **wrong)


async def test_limits_of_time_and_uses_are_said(company):
    with pytest.raises(ValueError, match="ttl"):
        await company.token(ttl=timedelta(days=366))
    with pytest.raises(ValueError, match="uses"):
        await company.token(uses=-1)


async def test_the_store_in_memory_compares_revisions_as_the_journal_does():
    store = MemoryStore()
    first = await store.put("k", "a", b"1", expected=0)
    with pytest.raises(Conflict):
        await store.put("k", "a", b"2", expected=0)
    await store.put("k", "a", b"2", expected=first.revision)
    with pytest.raises(Conflict):
        await store.delete("k", "a", expected=first.revision)
