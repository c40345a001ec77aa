"""The host: a service's DNS name in the mesh, `NAME.NAMESPACE.DOMAIN`.

The namespace is always one label, so whatever stands before it is the name, dots included: two services never share a
host. What DNS can't hold as it is becomes one label of what people can read and a hash of 128 bits:

    shop/orders                             orders.shop.mesh
    vm/user.rpc                             user.rpc.vm.mesh
    legacy/com.example.OrderService:1.0.0   com-example-orderservice-1-0-0-2f5x….legacy.mesh

A name that looks as if it ended in such a hash is hashed too. There is no way back but an index of hosts.
"""

import re
from base64 import b32encode
from functools import lru_cache
from hashlib import sha256
from typing import Final

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HASHED: Final = re.compile(r"(.*-)?[a-z2-7]{26}")
_HASH_LENGTH: Final = 26
_LONGEST_HEAD: Final = 63 - 1 - _HASH_LENGTH
LONGEST: Final = 190
"""Characters of a readable host: what DNS allows, less two labels of 31 that stand before it in an SNI (RFC 1035)."""


@lru_cache(maxsize=65536)
def host_of(namespace: str, name: str, domain: str = "mesh") -> str:
    """The service's host."""
    behind = f"{_label_of(namespace)}.{domain}"
    is_readable = all(_is_plain(label) for label in name.split("."))
    if is_readable and len(name) + 1 + len(behind) <= LONGEST:
        return f"{name}.{behind}"
    return f"{_hashed(name)}.{behind}"


@lru_cache(maxsize=4096)
def sni_of(port: str, host: str, subset: str = "") -> str:
    """The server name for a port of a service, or for a subset of it: `PORTNAME.HOST`, `PORTNAME.SUBSET.HOST`."""
    return ".".join([_label_of(port), *([_label_of(subset)] if subset else []), host])


def _label_of(text: str) -> str:
    """A text as one label."""
    return text if _is_plain(text) else _hashed(text)


def _is_plain(text: str) -> bool:
    return _LABEL.fullmatch(text) is not None and _HASHED.fullmatch(text) is None


def _hashed(text: str) -> str:
    digest = sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]
    code = b32encode(digest).decode().rstrip("=").lower()
    head = re.sub(r"[^a-z0-9]+", "-", text.lower())[:_LONGEST_HEAD].strip("-")
    return f"{head}-{code}" if head else code
