"""The passage: how one record came from its registry into the catalog, a step at a time.

    record    /services/orders/9f1c… in zk, layout spring
    name      legacy/orders, by names.aliases shop/orders
    grant     legacy is the namespace of zk
    accept    an ordinary address
    registry  zk is synced
    guard     the guard of zk holds nothing of it

What becomes of it behind the catalog, in the eyes of somebody, the horizon says.
"""

from collections.abc import Iterator, Sequence

from pilot_plus.catalog import Catalog, Place
from pilot_plus.catalog.admission import Admission
from pilot_plus.model import Instance, split_service
from pilot_plus.views.endpoints import Home, is_original
from pilot_plus.views.explanation import StepShape
from pilot_plus.views.overview import age, seconds_between


def passage(
    catalog: Catalog,
    home: Home,
    admission: Admission | None,
    place: Place,
    instance: Instance,
    now: float,
    lies: Sequence[str] = (),
) -> Iterator[StepShape]:
    """The steps of a record at `now` (monotonic seconds); without an admission (a peer's) not those that it decides.

    `lies`: where the registry holds it, if its key doesn't say that.
    """
    registry, key = place
    layout = f", layout {instance.layout}" if instance.layout else ""
    yield _step("record", f"{' and '.join(lies) or key} in {registry}{layout}{_copy_of(home, place, instance)}")
    if admission is not None:
        native = instance.native or instance.service
        namespace, name = split_service(native)
        ways = "".join(f", by {step.why} {step.name}" for step in admission.why_named(namespace, name))
        yield _step("name", f"{native}{ways}")
        yield _step("grant", admission.why_granted(namespace))
        yield _step("accept", admission.why_accepted(instance.address))
    yield _step("registry", _registry(catalog, place, now))
    yield _step("guard", _guard(catalog, place, now))


def _step(step: str, says: str) -> StepShape:
    return StepShape(step=step, says=says)


def _copy_of(home: Home, place: Place, instance: Instance) -> str:
    if is_original(home, place[0], instance):
        return ""
    origin = instance.origin
    through = f", through {', '.join(origin.hops)}" if origin.hops else ""
    return f"; a copy of {origin.id} in {origin.cluster}/{origin.registry}{through}"


def _registry(catalog: Catalog, place: Place, now: float) -> str:
    source = catalog.source_of(place)
    if source.is_stale:
        because = f": {source.error}" if source.error else ""
        state = source.standing.replace("_", " ")
        return f"{source.name} is {state} ({age(source, now):.0f} s){because}; what it said last stays, as stale"
    if catalog.is_stale(place):
        return f"{source.name} is synced, but nobody has vouched for the record since the hub started"
    return f"{source.name} is synced"


def _guard(catalog: Catalog, place: Place, now: float) -> str:
    source = catalog.source_of(place)
    held = source.held.get(place[1])
    if held is None:
        return f"the guard of {source.name} holds nothing of it"
    becomes = held.pending.health if held.pending else "gone"
    return (
        f"in {source.name} it is {becomes}, together with many others: kept as it was for "
        f"{seconds_between(now, held.until):.0f} s more, or until pilot-plus release {source.name}"
    )
