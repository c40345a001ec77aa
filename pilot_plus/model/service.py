"""A service record: what a registry says of a service beside its instances, or without any."""

import msgspec

from pilot_plus.model.instance import Pairs, Port


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A service as its registry knows it. Services that have instances need no record of their own.

    Sources send one where the registry itself holds one (Kubernetes, Consul), or where a service that has no
    instance left is still there (an empty `providers` directory).
    """

    key: str
    """Unique in the registry, also among the keys of its instances."""
    name: str
    namespace: str = ""
    ports: tuple[Port, ...] = ()
    metadata: Pairs = ()
    aliases: tuple[str, ...] = ()
    """Further names that the registry itself gives to this service; whole names once they are in the catalog."""
    native: str = ""
    """What its registry calls it, `namespace/name`, where the catalog calls it otherwise."""

    @property
    def service(self) -> str:
        """The whole name, `namespace/name`."""
        return f"{self.namespace}/{self.name}"


def split_service(service: str) -> tuple[str, str]:
    """Namespace and name of a whole name; the first `/` divides them.

    Raises:
        ValueError: there is no `/`, or nothing before or behind it.
    """
    namespace, slash, name = service.partition("/")
    if not (namespace and slash and name):
        raise ValueError(f"{service!r} is no service: expected NAMESPACE/NAME")
    return namespace, name
