"""A line to the hub: a channel, over TLS to a hub that was recognised, or in plaintext on this machine only."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TypeAlias

import grpc
import msgspec
from cryptography.x509.oid import ExtendedKeyUsageOID
from grpc import aio

from pilot_plus.model import Role
from pilot_plus.quantities import Address
from pilot_plus.wire import edge_pb2 as pb
from pilot_plus.wire.certificates import (
    Certificate,
    Clock,
    PrivateKey,
    allows,
    fingerprint,
    key_pem,
    new_key,
    pem,
    read_certificate,
    spiffe_of,
)
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.look import is_loopback, look, recognised
from pilot_plus.wire.methods import HELLO, channel_options
from pilot_plus.wire.proof import NONCE_BYTES, Purpose, check_proof
from pilot_plus.wire.stranger import strangers_certificate
from pilot_plus.wire.trust import Held

Anchors: TypeAlias = Callable[[Sequence[Certificate]], Iterable[Certificate]]
"""Whom to believe, given what is shown."""


class Line(msgspec.Struct, frozen=True):
    """An open line."""

    channel: aio.Channel
    secure: bool
    """TLS: the hub is known, and what is said stays between us."""
    nonce: bytes = b""
    """In plaintext, the hub's: for one proof."""


@asynccontextmanager
async def strangers_line(hub: Address, expected: bytes, now: Clock) -> AsyncIterator[Line]:
    """A line for somebody with no certificate yet, to a hub that descends from the fingerprint expected.

    Raises:
        Denied: it is another hub, or no TLS is spoken there and it is not on this machine.
        ConnectionError: it can't be reached.
    """
    shown = await look(hub)
    if shown is None:
        async with _plain_line(hub, partial(_with_fingerprint, expected), now) as line:
            yield line
        return
    anchor, name = recognised(hub, shown, expected, now)
    key = new_key()
    async with _secure_channel(hub, [anchor], key, [strangers_certificate(expected, key)], name) as channel:
        yield Line(channel, secure=True)


@asynccontextmanager
async def members_line(hub: Address, held: Held, now: Clock) -> AsyncIterator[Line]:
    """A line for somebody who has joined: mutual TLS, or plaintext if the hub was met so and still speaks no TLS.

    Raises:
        Denied: the hub isn't who it was.
        ConnectionError: it can't be reached.
    """
    if held.secure or await look(hub) is not None:
        trust = held.trust
        async with _secure_channel(hub, trust.anchors, held.key, held.chain, trust.hub_name) as channel:
            yield Line(channel, secure=True)
        return
    async with _plain_line(hub, lambda _: held.trust.roots, now) as line:
        yield line


def _secure_channel(
    hub: Address, anchors: Iterable[Certificate], key: PrivateKey, chain: Iterable[Certificate], name: str
) -> AbstractAsyncContextManager[aio.Channel]:
    credentials = grpc.ssl_channel_credentials(pem(anchors), key_pem(key), pem(chain))
    channel: AbstractAsyncContextManager[aio.Channel] = aio.secure_channel(hub, credentials, channel_options(name))
    return channel


@asynccontextmanager
async def _plain_line(hub: Address, anchors: Anchors, now: Clock) -> AsyncIterator[Line]:
    """A line to a hub that has proved, over our nonce, that it holds the key of a hub's certificate."""
    if not is_loopback(hub.host):
        raise Denied(f"{hub} is not on this machine: without TLS it is not believed")
    async with aio.insecure_channel(hub, channel_options()) as channel:
        nonce = secrets.token_bytes(NONCE_BYTES)
        answer = await HELLO.call(channel, pb.HelloRequest(nonce=nonce))
        try:
            _check_hub(answer, nonce, anchors, now)
        except ValueError as error:
            raise Denied(f"{hub} is not the hub that it should be: {error}") from error
        yield Line(channel, secure=False, nonce=answer.nonce)


def _check_hub(answer: pb.HelloResponse, nonce: bytes, anchors: Anchors, now: Clock) -> None:
    chain = [read_certificate(one) for one in answer.proof.chain[:8]]
    if not chain or answer.proof.nonce != nonce:
        raise ValueError("its proof is not over our nonce")
    identity = spiffe_of(chain[0])
    if identity.role is not Role.HUB or not allows(chain[0], ExtendedKeyUsageOID.SERVER_AUTH):
        raise ValueError(f"its certificate is that of {identity}")
    domain = identity.trust_domain
    check_proof(answer.proof, anchors(chain), Purpose.HUB, audience=domain, body=answer.nonce, now=now())


def _with_fingerprint(expected: bytes, shown: Sequence[Certificate]) -> Iterable[Certificate]:
    return [one for one in shown if fingerprint(one) == expected]
