"""Crafted messages: whatever is sent, it is answered by a status that was meant, and the next caller is served."""

import random

import pytest
from grpc import StatusCode, aio

from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.folder import Folder
from pilot_plus.wire.joining import join
from pilot_plus.wire.methods import HELLO, MAX_MESSAGE, SERVICE
from pilot_plus.wire.proof import Purpose, prove
from tests.pilot_plus.identity.company import Company, request
from tests.pilot_plus.servers.join.hub import hub_of

MEANT = {StatusCode.OK, StatusCode.INVALID_ARGUMENT, StatusCode.PERMISSION_DENIED, StatusCode.RESOURCE_EXHAUSTED}


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The message with some bytes changed, cut out or doubled."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) or 1)
        match chance.randrange(4):
            case 0 if changed:
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at : at + chance.randint(1, 20)]
            case 2:
                changed[at:at] = chance.randbytes(chance.randint(1, 20))
            case _:
                changed[at:at] = changed[at : at + chance.randint(1, 200)]
    return bytes(changed)


async def status_of(channel: aio.Channel, method: str, data: bytes) -> StatusCode:
    try:
        await channel.unary_unary(f"/{SERVICE}/{method}")(data, timeout=10)
    except aio.AioRpcError as error:
        return error.code()
    return StatusCode.OK


@pytest.mark.parametrize("seed", range(3))
async def test_crafted_messages_are_refused_and_the_next_joiner_is_served(tmp_path, seed):
    chance = random.Random(seed)
    company = await Company().open()
    async with hub_of(company, secure=False) as hub, aio.insecure_channel(hub.address) as channel:
        token = await company.token(uses=0)
        hello = await HELLO.call(channel, pb.HelloRequest(nonce=b"n" * 32))
        held, csr = company.held(secure=False), request()
        proof = prove(held.key, held.chain, Purpose.RENEW, audience="east.example", nonce=hello.nonce, body=csr)
        good = {
            "Hello": pb.HelloRequest(nonce=b"n" * 32).SerializeToString(),
            "Join": pb.JoinRequest(token=token.text, csr=csr, name="web-7").SerializeToString(),
            "Renew": pb.RenewRequest(csr=csr, proof=proof).SerializeToString(),
        }
        for method, data in good.items():
            for _ in range(60):
                assert await status_of(channel, method, mutated(data, chance)) in MEANT
            assert await status_of(channel, method, b"") in MEANT
            assert await status_of(channel, method, b"\0" * (MAX_MESSAGE + 1)) in MEANT - {StatusCode.OK}
    async with hub_of(company, secure=False) as hub:
        assert (await join(hub.address, token, "web-8", Folder(tmp_path), hub.now)).identity.name == "web-8"


async def test_a_store_that_is_down_is_said_without_its_place(tmp_path):
    company = await Company().open()
    token = await company.token()

    async def down(*_: object) -> None:
        raise OSError("postgresql://user:secret@db:5432 is down")

    company.store.get = down  # type: ignore[method-assign, assignment]
    async with hub_of(company, secure=False) as hub:
        with pytest.raises(ConnectionError, match="try again") as failed:
            await join(hub.address, token, "web-7", Folder(tmp_path), hub.now)
        assert "secret" not in str(failed.value)
