"""The labels, annotations and places by which Kubernetes' objects are known to us."""

from typing import Final

SERVICE_NAME: Final = "kubernetes.io/service-name"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
IMPORT_NAME: Final = "multicluster.kubernetes.io/service-name"
SOURCE_CLUSTER: Final = "multicluster.kubernetes.io/source-cluster"

OURS: Final = "pilot-plus"
"""The value of `MANAGED_BY` in what we write, and the field manager of our writes."""
CLUSTER: Final = "pilot-plus/cluster"
"""Which cluster's hub wrote it: a label."""
COPIES: Final = "pilot-plus/copies"
"""What a slice can't say of its endpoints, origins above all: an annotation. See `copies`."""

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


def service_place(namespace: str, name: str) -> str:
    """How people call a Service record that says nothing."""
    return f"services/{namespace}/{name}"


def slice_place(namespace: str, name: str) -> str:
    """How people call a slice that says nothing."""
    return f"endpointslices/{namespace}/{name}"
