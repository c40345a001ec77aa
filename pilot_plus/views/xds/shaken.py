"""What is shaken: services of which no record has changed, but how far their records can be trusted."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

import msgspec

from pilot_plus.catalog import Catalog, Place, Source


class Shaken(msgspec.Struct, frozen=True):
    """Between two catalogs."""

    services: AbstractSet[str] = frozenset()
    """Those that a registry holds which has become stale or fresh."""
    doubted: Mapping[str, AbstractSet[Place]] = {}
    """Records of a service that are doubted, or not any more: a guard holds them, or nobody vouches for them."""

    @property
    def touched(self) -> AbstractSet[str]:
        """All services that are shaken in any way."""
        return self.services | self.doubted.keys()


def shaken_between(before: Catalog, after: Catalog) -> Shaken:
    """What is shaken: costs nothing where no source has changed its standing."""
    services: set[str] = set()
    doubted: dict[str, set[Place]] = {}
    for name, source in after.sources.items():
        old = before.sources.get(name)
        if old is source or old is None:
            continue
        if old.is_stale != source.is_stale:
            services.update(instance.service for instance in source.instances.values())
        for key in _doubted_otherwise(old, source):
            for instance in (old.instances.get(key), source.instances.get(key)):
                if instance is not None:
                    doubted.setdefault(instance.service, set()).add((name, key))
    return Shaken(services, doubted)


def _doubted_otherwise(old: Source, new: Source) -> Iterable[str]:
    keys = old.unheard ^ new.unheard if old.unheard is not new.unheard else frozenset()
    return keys if old.held is new.held else keys | (frozenset(old.held) ^ frozenset(new.held))
