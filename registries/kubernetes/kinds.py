"""The kinds of objects that we read or write, and where they are in the API server's URLs."""

from typing import Final

import msgspec


class Kind(msgspec.Struct, frozen=True):
    """A kind of object: its name in URLs and in places, its group's path, and how objects name both."""

    name: str
    group: str
    kind: str

    @property
    def api_version(self) -> str:
        """As objects say it."""
        return self.group.removeprefix("/apis/").removeprefix("/api/")

    def path(self, namespace: str = "") -> str:
        """The URL's path of all objects in a namespace, or (empty) in all."""
        within = f"namespaces/{namespace}/" if namespace else ""
        return f"{self.group}/{within}{self.name}"


SERVICES: Final = Kind("services", "/api/v1", "Service")
SLICES: Final = Kind("endpointslices", "/apis/discovery.k8s.io/v1", "EndpointSlice")
LEASES: Final = Kind("leases", "/apis/coordination.k8s.io/v1", "Lease")
IMPORTS: Final = Kind("serviceimports", "/apis/multicluster.x-k8s.io/v1alpha1", "ServiceImport")
