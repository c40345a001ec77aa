"""Dubbo 2 on etcd: ZooKeeper's tree flat as keys. The value says nothing: Dubbo puts the number of its lease there.

    /dubbo/<encoded interface>/providers/<encoded URL>       a provider
    /dubbo/<encoded interface>/configurators/<encoded URL>   an override

What is held and what isn't is `dubbo`'s table. (apache/dubbo-spi-extensions: `EtcdRegistry`.)
"""

from functools import lru_cache

import msgspec

from pilot_plus.model import Instance
from registries.layouts.dubbo import Dubbo
from registries.layouts.dubbo_rules import Override, split_name
from registries.layouts.dubbo_url import encoded_part
from registries.layouts.etcdkeys import as_root
from registries.layouts.layout import Decoded, Raw


class EtcdDubbo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The layout `dubbo` of etcd."""

    root: str = "/dubbo"
    """Dubbo's `group`."""
    protocol: str = "dubbo"
    """As what a port is written whose protocol nobody knows."""

    def __post_init__(self) -> None:
        if not as_root(self.root):
            raise ValueError("root is expected not to be empty")
        _tree(self.root, self.protocol)
        msgspec.structs.force_setattr(self, "root", as_root("/" + self.root.lstrip("/")))

    @property
    def name(self) -> str:
        """As in the configuration."""
        return "dubbo"

    @property
    def protocols(self) -> frozenset[str]:
        """What Dubbo consumers can speak."""
        return _tree(self.root, self.protocol).protocols

    def decode(self, raw: Raw) -> Decoded:
        """Read a provider, or the key that stands for an interface's providers."""
        return _tree(self.root, self.protocol).decode(raw)

    def rule(self, raw: Raw) -> Override | None:
        """Read a configurator; None for every other key."""
        return _tree(self.root, self.protocol).rule(raw)

    def encode(self, instance: Instance) -> Raw:
        """Write a provider."""
        return _tree(self.root, self.protocol).encode(instance)

    def prefix_of(self, key: str) -> str:
        """The prefix of every path that could hold the provider of an instance's key: its URL up to the parameters."""
        name, _, url = key[len(self.root) :].rpartition("@")
        interface, _, _ = split_name(name)
        return f"{self.root}{encoded_part(interface)}/providers/{encoded_part(f'{url}/')}"


@lru_cache(maxsize=64)
def _tree(root: str, protocol: str) -> Dubbo:
    return Dubbo(root=root, protocol=protocol)
