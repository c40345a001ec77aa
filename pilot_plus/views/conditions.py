"""Conditions: what somebody should know about a service, beside its instances."""

from collections.abc import Iterator

from pilot_plus.catalog import Catalog, Entry
from pilot_plus.catalog.admission import RESERVED_NAMESPACE
from pilot_plus.model import UNKNOWN_PROTOCOL
from pilot_plus.views import shapes
from pilot_plus.views.endpoints import Home, is_original


def conditions(catalog: Catalog, home: Home, entry: Entry) -> tuple[shapes.Condition, ...]:
    """What somebody should know about a service."""
    shared = _shared_name(home, entry) if home.keeps_apart else ()
    return (*_protocol_conflicts(entry), *shared, *_held(catalog, entry))


def _shared_name(home: Home, entry: Entry) -> Iterator[shapes.Condition]:
    """Several registries, which are to be kept apart, brought instances of their own into one service."""
    if entry.service in home.called or entry.namespace == RESERVED_NAMESPACE:
        return
    first_hand = {place[0] for place, one in entry.instances.items() if is_original(home, place[0], one)}
    if len(first_hand) > 1:
        yield shapes.Condition(
            type="SharedName",
            reason="RegistriesNotApart",
            message=f"{' and '.join(sorted(first_hand))} hold it, though `names.conflicts` keeps registries apart; "
            "name one of them in `names.conflicts: {separate: […]}`",
        )


def _protocol_conflicts(entry: Entry) -> Iterator[shapes.Condition]:
    """One port name, different protocols."""
    if len({id(instance.ports) for instance in entry.instances.values()}) < 2:
        return  # equal ports are one object
    spoken: dict[str, dict[str, set[str]]] = {}
    for place, instance in entry.instances.items():
        for port in instance.ports:
            if port.protocol != UNKNOWN_PROTOCOL:
                spoken.setdefault(port.name, {}).setdefault(port.protocol, set()).add(place[0])
    for name, protocols in sorted(spoken.items()):
        if len(protocols) > 1:
            said = "; ".join(
                f"{protocol} in {', '.join(sorted(protocols[protocol]))}" for protocol in sorted(protocols)
            )
            yield shapes.Condition(
                type="ProtocolConflict", reason="OnePortNameManyProtocols", message=f"port {name} speaks {said}"
            )


def _held(catalog: Catalog, entry: Entry) -> Iterator[shapes.Condition]:
    held: dict[str, int] = {}
    for place in entry.instances if any(source.held for source in catalog.sources.values()) else ():
        if catalog.is_held(place):
            held[place[0]] = held.get(place[0], 0) + 1
    for name, count in sorted(held.items()):
        yield shapes.Condition(
            type="Held",
            reason="MassRemoval",
            message=f"{count} stopped passing in {name} together with many others; "
            f"if that is right: pilot-plus release {name}",
        )
