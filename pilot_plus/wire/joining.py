"""Joining: a token becomes an identity in a folder, and that a younger one. The key never leaves the machine."""

import msgspec

from pilot_plus.quantities import Address
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.certificates import (
    Clock,
    PrivateKey,
    check_chain,
    checked_key,
    new_key,
    new_request,
    public_bytes,
    spiffe_of,
    utc_now,
)
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.folder import Folder
from pilot_plus.wire.jointoken import JoinToken
from pilot_plus.wire.line import members_line, strangers_line
from pilot_plus.wire.methods import JOIN, RENEW
from pilot_plus.wire.proof import Purpose, prove
from pilot_plus.wire.trust import Held, Trust, credentials_from_wire


async def obtain(hub: Address, token: JoinToken | None, name: str, folder: Folder, now: Clock = utc_now) -> Held:
    """The identity in the folder while it is valid and of that name; else join with the token.

    Raises:
        Denied: there is no identity and no token, or the hub says no, or isn't the token's.
        ConnectionError: the hub can't be reached.
        OSError: the folder can't be read or written.
    """
    held = folder.held()
    if held is not None and held.expires > now() and name in {"", held.identity.name}:
        return held
    if token is None:
        raise Denied(f"no valid identity in {folder.path}, and no token to get one")
    return await join(hub, token, name, folder, now)


async def join(hub: Address, token: JoinToken, name: str, folder: Folder, now: Clock = utc_now) -> Held:
    """Get a certificate for a new key. May be tried again: a token counts one use for one key and name.

    Raises:
        Denied: the hub says no, or isn't the one that the token is for (then it hasn't seen the token).
        ConnectionError: the hub can't be reached, or didn't answer.
        OSError: the folder can't be read or written.
    """
    key = folder.pending_key()
    async with strangers_line(hub, token.fingerprint, now) as line:
        question = pb.JoinRequest(token=token.text, csr=new_request(key), name=name)
        answer = await JOIN.call(line.channel, question)
    held = _held(answer, key, now, secure=line.secure)
    folder.keep(held)
    return held


async def renew(hub: Address, held: Held, folder: Folder, now: Clock = utc_now) -> Held:
    """Get a younger certificate for a new key, by the identity that is held.

    Raises:
        Denied: the hub says no (revoked, or expired: then only a token helps), or isn't who it was.
        ConnectionError: the hub can't be reached, or didn't answer.
        OSError: the folder can't be written.
    """
    key = new_key()
    question = pb.RenewRequest(csr=new_request(key))
    async with members_line(hub, held, now) as line:
        if not line.secure:
            audience, csr = held.identity.trust_domain, question.csr
            proof = prove(held.key, held.chain, Purpose.RENEW, audience=audience, nonce=line.nonce, body=csr)
            question.proof.CopyFrom(proof)
        answer = await RENEW.call(line.channel, question)
    younger = _held(answer, key, now, secure=line.secure)
    if younger.identity != held.identity:
        raise Denied(f"the hub renewed {held.identity} as {younger.identity}")
    folder.keep(younger)
    return younger


def keep_trust(held: Held, trust: Trust, folder: Folder) -> Held:
    """The same identity, believing others from now on: what a hub says in a session.

    Raises:
        OSError: the folder can't be written.
    """
    if trust.version == held.trust.version:
        return held
    changed = msgspec.structs.replace(held, trust=trust)
    folder.keep(changed)
    return changed


def _held(answer: pb.Credentials, key: PrivateKey, now: Clock, *, secure: bool) -> Held:
    """What was answered, if it is a certificate for our key that those who believe the same will believe."""
    try:
        issued, trust, abroad = credentials_from_wire(answer)
        leaf = issued.chain[0]
        check_chain(issued.chain, trust.roots, now())
        if public_bytes(checked_key(leaf.public_key())) != public_bytes(key.public_key()):
            raise ValueError("it is for another key")
        if spiffe_of(leaf) != issued.identity:
            raise ValueError("it is for another identity than the hub says")
    except ValueError as error:
        raise Denied(f"the hub answered with a certificate that can't be used: {error}") from error
    return Held(key=key, chain=issued.chain, identity=issued.identity, trust=trust, secure=secure, abroad=abroad)
