"""Names: which service is meant by a name, what else it is called, and what somebody may have meant.

vm/orders          names.aliases says that it is shop/orders
legacy/com.a.B     the registry's mapping says that legacy/orders serves it
shop/order         nobody's name; nearest is shop/orders
"""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from pilot_plus.catalog import Catalog, Entry
from pilot_plus.model import split_service
from pilot_plus.views.endpoints import Home

BREATH: Final = 500
"""Names that are compared between two pauses of `nearest`."""
FEW: Final = 3


def meant_by(catalog: Catalog, home: Home, service: str) -> tuple[str, ...]:
    """The services that a whole name stands for: mostly itself. Several where a registry gave the name to several."""
    if service in catalog.entries:
        return (service,)
    if (named := home.aliases.get(service)) and named in catalog.entries:
        return (named,)
    return tuple(name for name in catalog.aliases.get(service, ()) if name in catalog.entries)


def counting(catalog: Catalog, home: Home, namespace: str, name: str) -> tuple[str, str]:
    """Namespace and name that count for a whole name; the same where it is nobody's, or several services'."""
    service = f"{namespace}/{name}"
    meant = meant_by(catalog, home, service)
    found = meant[0] if len(meant) == 1 else home.aliases.get(service, service)
    return (namespace, name) if found == service else split_service(found)


def further_names(home: Home, entry: Entry) -> tuple[str, ...]:
    """What else a service is called, by the configuration or by its registries."""
    configured = home.called.get(entry.service, ())
    if not entry.records and not configured:
        return ()
    given = {alias for record in entry.records.values() for alias in record.aliases}
    return tuple(sorted({*configured, *given} - {entry.service}))


def nearest(catalog: Catalog, service: str) -> Iterator[tuple[str, ...] | None]:
    """At last the few names most like one that is nobody's; before that a None now and then, to let others run."""
    bare = service.rpartition("/")[2].casefold()
    same: list[str] = []
    like: list[str] = []
    names = (*catalog.entries, *catalog.aliases)
    for start in range(0, len(names), BREATH):
        some = names[start : start + BREATH]
        same += [name for name in some if bare and bare in name.rpartition("/")[2].casefold()]
        like += get_close_matches(service, some, FEW, 0.75)
        yield None
    best = get_close_matches(service, like, FEW, 0.75)
    yield tuple(dict.fromkeys((*sorted(same, key=len)[:FEW], *best)))[:FEW]
