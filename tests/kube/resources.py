"""The kinds of objects that the fake API server serves: where they lie in URLs, and what writing one means."""

from typing import Any

import msgspec

from tests.kube.store import Object, Store


class Resource(msgspec.Struct, frozen=True):
    """A kind of object."""

    plural: str
    kind: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    blind_update: bool = True
    """An update may leave the resourceVersion out."""
    create_on_update: bool = False

    @property
    def api_version(self) -> str:
        """As objects say it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path of its group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


_RBAC = "rbac.authorization.k8s.io"
BUILT_IN = (
    Resource("namespaces", "Namespace", namespaced=False),
    Resource("services", "Service", create_on_update=True),
    Resource("endpointslices", "EndpointSlice", "discovery.k8s.io"),
    Resource("leases", "Lease", "coordination.k8s.io", blind_update=False, create_on_update=True),
    Resource("roles", "Role", _RBAC, create_on_update=True),
    Resource("rolebindings", "RoleBinding", _RBAC, create_on_update=True),
    Resource("clusterroles", "ClusterRole", _RBAC, namespaced=False, create_on_update=True),
    Resource("clusterrolebindings", "ClusterRoleBinding", _RBAC, namespaced=False, create_on_update=True),
    Resource("customresourcedefinitions", "CustomResourceDefinition", "apiextensions.k8s.io", namespaced=False),
)


def resources(store: Store) -> list[Resource]:
    """What is served now: the built-in kinds, and those that somebody has defined."""
    return [
        *BUILT_IN,
        *(r for _, found in store.at(store.revision, "customresourcedefinitions") for r in _custom(found)),
    ]


def _custom(definition: Object) -> list[Resource]:
    spec: dict[str, Any] = definition["spec"]
    names = spec["names"]
    return [
        Resource(
            names["plural"],
            names["kind"],
            spec["group"],
            version["name"],
            namespaced=spec["scope"] == "Namespaced",
            blind_update=False,
        )
        for version in spec["versions"]
        if version.get("served", True)
    ]
