"""What will become of a copy in Consul: the registration, read as the entry that the catalog will show. Pure."""

from typing import Final

import msgspec

from pilot_plus.model import Instance
from registries.consul.decode import decode
from registries.consul.encode import PREFIX, encode
from registries.consul.records import Check, Entry, Node, Service

LEASE: Final = f"{PREFIX}lease:"
_SOME_LEASE: Final = LEASE + "0" * 32
"""As long as a real one; which one it will be nobody knows before the write."""


def preview_of(copy: Instance, node: str, protocol: str) -> Instance:
    """How the source will report a copy that is written on a node; with an empty key where that is not known yet.

    Raises:
        ValueError: Consul can't hold it, or nobody would read it again.
    """
    body = encode(copy, _SOME_LEASE if copy.lease else "")
    service = Service(
        service=body.name,
        id=body.id,
        address=body.address,
        port=body.port,
        tags=body.tags,
        meta=body.meta,
        weights=body.weights,
    )
    checks = [Check(status=check.status, check_id=check.check_id, service_id=body.id) for check in body.checks]
    read = decode(Entry(Node(node or "?"), service, checks), protocol)
    if read is None:
        raise ValueError(f"the service {body.name!r} is Consul's own or ours")
    return read if node else msgspec.structs.replace(read, key="")
