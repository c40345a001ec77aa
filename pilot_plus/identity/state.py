"""All that an authority knows at one time, and how it follows from roots, revocations and files."""

import socket
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from pilot_plus.config import Config
from pilot_plus.identity.leaves import new_leaf, new_list
from pilot_plus.identity.revocations import Revoked
from pilot_plus.identity.roots import FileRoots, JournalRoots, Root, Roots, believed, signing
from pilot_plus.identity.store import Store
from pilot_plus.model import Role, SpiffeId
from pilot_plus.wire.certificates import (
    Certificate,
    Clock,
    PrivateKey,
    PublicKey,
    fingerprint,
    key_pem,
    new_key,
    pem,
    read_key,
    read_pem,
    utc_now,
)
from pilot_plus.wire.look import hub_name
from pilot_plus.wire.serving import Serving
from pilot_plus.wire.stranger import strangers_authority
from pilot_plus.wire.trust import RENEW_AFTER, Trust


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an authority is made for."""

    trust_domain: str
    leaf_ttl: timedelta = timedelta(days=1)
    hub_names: tuple[str, ...] = ()
    """DNS names and IP addresses in the hub's own certificate, beside `hub.TRUST_DOMAIN`."""
    hub_cert: str = ""
    """Files, where the hub shows another certificate than the authority's own; the chain up to an authority."""
    hub_key: str = ""
    client_ca: str = ""
    """A file with further authorities whose certificates prove identities of this trust domain."""

    def __post_init__(self) -> None:
        try:
            SpiffeId(trust_domain=self.trust_domain, role=Role.HUB)
        except ValueError as error:
            raise ValueError(f"mesh.trust_domain: {error}") from error


class HubIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The hub's own certificate, by its own authority."""

    key: PrivateKey
    chain: tuple[Certificate, ...]
    """With the root, so that strangers can compare its fingerprint."""

    def __repr__(self) -> str:
        """Never the key."""
        return "<HubIdentity>"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All that the authority knows at one time."""

    signer: Root
    trust: Trust
    hub: HubIdentity
    serving: Serving
    anchors: tuple[Certificate, ...]
    """What proves identities here: the roots, and `client_ca`."""
    fingerprint: bytes
    """What a join token made now holds."""


def make_state(
    settings: Settings, roots: Sequence[Root], revoked: Sequence[Revoked], now: datetime, before: State | None
) -> State:
    """The state that follows from roots, revocations and files, keeping of the one before what is still good.

    Raises:
        ValueError: a file or the trust domain can't be used, or no root signs now.
        OSError: a file can't be read.
    """
    signer, current = signing(roots, now), believed(roots, now)
    hub = _hub(settings, signer, now, before.hub if before else None)
    trust = _trust(settings, current, revoked, now, before.trust if before else None)
    others = read_pem(Path(settings.client_ca).read_bytes()) if settings.client_ca else ()
    anchors = (*trust.roots, *others)
    if settings.hub_cert:
        key, chain = read_key(Path(settings.hub_key).read_bytes()), read_pem(Path(settings.hub_cert).read_bytes())
    else:
        key, chain = hub.key, hub.chain
    if before is not None and before.anchors == anchors and before.trust.anchors == trust.anchors:
        clients = before.serving.clients
    else:
        clients = pem((*anchors, *(strangers_authority(fingerprint(one)) for one in trust.anchors)))
    serving = Serving(key=key_pem(key), chain=pem(chain), clients=clients)
    return State(
        signer=signer,
        trust=trust,
        hub=hub,
        serving=before.serving if before is not None and before.serving == serving else serving,
        anchors=anchors,
        fingerprint=fingerprint(chain[-1]),
    )


def _trust(
    settings: Settings, roots: Sequence[Root], revoked: Sequence[Revoked], now: datetime, before: Trust | None
) -> Trust:
    ids = frozenset(one.what for one in revoked if one.what.startswith("spiffe://"))
    serials = frozenset(one.what for one in revoked) - ids
    files = read_pem(Path(settings.hub_cert).read_bytes()) if settings.hub_cert else ()
    trust = Trust(
        roots=tuple(root.certificate for root in roots),
        revoked_ids=ids,
        revoked_serials=serials,
        hub_anchors=files[-1:],
        hub_name="" if files else hub_name(settings.trust_domain),
    )
    if before is not None and before.version == trust.version:
        return before
    return msgspec.structs.replace(trust, crls=_lists(roots, serials, now))


def _lists(roots: Sequence[Root], serials: frozenset[str], now: datetime) -> tuple[bytes, ...]:
    """A list by each root, or none at all: where there is one, Envoy asks for one by every authority in a chain."""
    signers = [(root.certificate, root.key) for root in roots if root.key is not None]
    if not serials or len(signers) < len(roots):
        return ()
    return tuple(new_list(certificate, key, serials, now) for certificate, key in signers)


def _hub(settings: Settings, signer: Root, now: datetime, before: HubIdentity | None) -> HubIdentity:
    """The certificate as it is, or a new one after a third of its life, or by a new root."""
    if before is not None and before.chain[-1] == signer.certificate:
        leaf = before.chain[0]
        begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        if begin <= now < begin + (end - begin) * RENEW_AFTER:
            return before
    identity = SpiffeId(trust_domain=settings.trust_domain, role=Role.HUB)
    key = new_key()
    names = tuple(dict.fromkeys((hub_name(settings.trust_domain), *settings.hub_names)))
    leaf = leaf_for(settings, signer, key.public_key(), identity, now, names)
    return HubIdentity(key=key, chain=(leaf, signer.certificate))


def leaf_for(
    settings: Settings, signer: Root, key: PublicKey, identity: SpiffeId, now: datetime, names: Sequence[str] = ()
) -> Certificate:
    """A leaf by the root that signs, believed as long as that root.

    Raises:
        ValueError: the root has no key.
    """
    if signer.key is None:
        raise ValueError("the root has no key")
    until = now + settings.leaf_ttl
    if signer.believed_until is not None:
        until = min(until, signer.believed_until)
    return new_leaf(signer.certificate, signer.key, key, identity, now=now, until=until, names=names)


def settings_of(config: Config) -> Settings:
    """An authority's settings, from the configuration."""
    tls = config.listen.tls
    listening = [address.host for address in (config.listen.xds, config.listen.http, config.listen.peer) if address]
    anywhere = {"0.0.0.0", "::"}.intersection(listening)  # noqa: S104 - a name
    hosts = [host for host in listening if host not in anywhere] + (_names_of_machine() if anywhere else [])
    return Settings(
        trust_domain=config.trust_domain,
        leaf_ttl=timedelta(seconds=config.identity.leaf_ttl),
        hub_names=tuple(dict.fromkeys(hosts)),
        hub_cert=tls.cert if tls else "",
        hub_key=tls.key if tls else "",
        client_ca=tls.client_ca if tls else "",
    )


def _names_of_machine() -> list[str]:
    """What this machine is called, and the address by which it goes elsewhere: gRPC holds a hub to what it dialled."""
    names = [socket.gethostname(), socket.getfqdn(), "localhost", "127.0.0.1"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way, suppress(OSError):
        way.connect(("192.0.2.1", 9))  # sends nothing: it only asks which address would be used
        names.append(str(way.getsockname()[0]))
    return names


def roots_of(config: Config, store: Store, now: Clock = utc_now) -> Roots:
    """Where an authority's roots come from, from the configuration."""
    section = config.identity
    if section.root_cert:
        return FileRoots(Path(section.root_cert), Path(section.root_key))
    ttl, life = timedelta(seconds=section.root_ttl), timedelta(seconds=section.leaf_ttl)
    return JournalRoots(store, config.trust_domain, ttl=ttl, life=life, now=now)
