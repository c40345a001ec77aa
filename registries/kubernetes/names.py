"""The labels, annotations, names and places by which Kubernetes' objects are known to us."""

import re
from hashlib import sha256
from typing import Final

SERVICE_NAME: Final = "kubernetes.io/service-name"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
IMPORT_NAME: Final = "multicluster.kubernetes.io/service-name"
SOURCE_CLUSTER: Final = "multicluster.kubernetes.io/source-cluster"

OURS: Final = "pilot-plus"
"""The value of `MANAGED_BY` in what we write, and the field manager of our writes."""
CLUSTER: Final = "pilot-plus/cluster"
"""Which cluster's hub wrote it: a label."""
RULE: Final = "pilot-plus/rule"
"""Which sync rule wrote a slice: a label, for people; the copies themselves say it too."""
COPIES: Final = "pilot-plus/copies"
"""What a slice can't say of its endpoints, origins above all: an annotation. See `copies`."""
COMMON: Final = "pilot-plus/common"
"""What a slice can't say of all its endpoints together: an annotation. See `copies`."""
NAME: Final = "pilot-plus/service"
"""The service's name where a Service's own can't hold it: an annotation of the Service."""

_LABEL: Final = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NO_LABEL: Final = re.compile(r"[^a-z0-9]+")
_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

_PLUMBING: Final = (
    "kubernetes.io/service-name",
    "endpointslice.kubernetes.io/",
    "endpoints.kubernetes.io/",
    "service.kubernetes.io/",
    "multicluster.kubernetes.io/",
    "pilot-plus/",
)


def told_labels(labels: dict[str, str] | None) -> dict[str, str]:
    """The labels that say something of the service, without those by which controllers find each other's objects.

    The built-in controller copies a Service's labels to its slices, so that both tell the same.
    """
    return {name: value for name, value in (labels or {}).items() if not name.startswith(_PLUMBING)}


def slice_place(namespace: str, name: str) -> str:
    """How people call a slice that says nothing."""
    return f"endpointslices/{namespace}/{name}"


def label_of(text: str) -> str:
    """A name as a DNS label (RFC 1035) of at most 63 characters: itself, or something like it with a hash.

    com.example.OrderService:1.0.0   com-example-orderservice-1-0-0-8d5b0d3f4e
    """
    if _LABEL.fullmatch(text):
        return text
    plain = _NO_LABEL.sub("-", text.lower()).strip("-")[:48].rstrip("-")
    begun = plain if plain[:1].isalpha() else f"s-{plain}".rstrip("-")
    return f"{begun}-{hash_of(text)}"


def hash_of(*parts: str) -> str:
    """Ten characters that differ where the parts do."""
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:10]


def is_label(text: str) -> bool:
    """Whether it is a DNS label (RFC 1123), as names of namespaces are."""
    return _NAME.fullmatch(text) is not None


def is_label_value(text: str) -> bool:
    """Whether a label can have it as its value."""
    return _LABEL_VALUE.fullmatch(text) is not None
