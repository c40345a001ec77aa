"""Registration: instances that register, live, change and go through the API, and what operators do."""

from typing import Annotated, Final

import msgspec

from pilot_plus.catalog.admission import RESERVED_NAMESPACE
from pilot_plus.model import NOWHERE, ORDINARY_WEIGHT, UNKNOWN_PROTOCOL, Health, Instance, Locality, Port, instance
from pilot_plus.ports import Done, Failed, Refused
from pilot_plus.quantities import seconds_of
from pilot_plus.servers.api.body import read
from pilot_plus.servers.api.context import Context
from pilot_plus.servers.api.desk import Conflict, Outcome, Placed, Unknown
from pilot_plus.servers.api.problem import Problem, unavailable
from pilot_plus.servers.api.route import DOT_SEGMENTS, Answer, Ask, Parameter, Route

SHORTEST_TTL: Final = 1.0
LONGEST_TTL: Final = 86400.0


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a client sends."""


class PortBody(_Body, frozen=True, kw_only=True):
    """A port of an instance."""

    name: str = ""
    number: int
    protocol: str = UNKNOWN_PROTOCOL


class Registration(_Body, frozen=True, kw_only=True):
    """An instance that registers. `registry` and `layout` choose where it is written; left out, our own registry."""

    namespace: str
    name: str
    id: str
    address: str
    ports: Annotated[tuple[PortBody, ...], msgspec.Meta(min_length=1, max_length=64)]
    ttl: str
    weight: int = ORDINARY_WEIGHT
    metadata: dict[str, str] = {}
    health: Health = Health.PASSING
    locality: Locality = NOWHERE
    registry: str | None = None
    layout: str = ""


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """Where an instance is registered now. It stays as long as heartbeats come within `ttl_s` of each other."""

    namespace: str
    name: str
    id: str
    registry: str
    key: str
    ttl_s: float


class Change(_Body, frozen=True, kw_only=True):
    """What shall be different about an instance."""

    health: Health | None = None
    weight: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """How many held removals were let happen."""

    registry: str
    released: int


async def register(context: Context, ask: Ask) -> Answer:
    """Register an instance, or replace it."""
    body = read(ask, Registration)
    found = _instance_of(body)
    outcome = await context.desk.put(found, body.registry, body.layout)
    if not isinstance(outcome, Placed):
        raise _problem_of(outcome)
    registered = Registered(
        namespace=found.namespace,
        name=found.name,
        id=found.id,
        registry=outcome.registry,
        key=outcome.key,
        ttl_s=found.lease,
    )
    return context.said(registered, 201)


async def deregister(context: Context, ask: Ask) -> Answer:
    """Take an instance away."""
    names = ask.names
    registry = ask.query.get("registry") or None
    return _done(await context.desk.drop(names["namespace"], names["name"], names["id"], registry))


async def heartbeat(context: Context, ask: Ask) -> Answer:
    """Let an instance live on."""
    return _done(await context.desk.renew(ask.names["namespace"], ask.names["name"], ask.names["id"]))


async def change(context: Context, ask: Ask) -> Answer:
    """Drain an instance, or give it another weight."""
    body, names = read(ask, Change), ask.names
    if body.health is None and body.weight is None:
        raise Problem(422, "nothing to change: expected `health`, `weight` or both")
    return _done(await context.desk.change(names["namespace"], names["name"], names["id"], body.health, body.weight))


async def release(context: Context, ask: Ask) -> Answer:
    """Let the held removals of a registry happen."""
    name = context.source(ask.names["name"]).name
    return context.said(Released(registry=name, released=await context.desk.release(name)))


def _instance_of(body: Registration) -> Instance:
    try:
        ttl = seconds_of(body.ttl)
        if not SHORTEST_TTL <= ttl <= LONGEST_TTL:
            raise ValueError(f"ttl {body.ttl[:40]!r} is outside 1s..24h")
        for what, text in (("namespace", body.namespace), ("id", body.id)):
            if not text or len(text) > 512:
                raise ValueError(f"{what}: expected 1 to 512 characters, found {len(text)}")
        for what, text in (("namespace", body.namespace), ("name", body.name), ("id", body.id)):
            if text in DOT_SEGMENTS:
                raise ValueError(f"{what} {text!r} can't stand in a path: no heartbeat would find it")
        if body.namespace == RESERVED_NAMESPACE:
            raise ValueError(f"namespace {RESERVED_NAMESPACE!r} is reserved for edges")
        return instance(
            key=f"{body.namespace}/{body.name}/{body.id}",
            namespace=body.namespace,
            name=body.name,
            id=body.id,
            address=body.address,
            ports=[Port(port.name, port.number, port.protocol) for port in body.ports],
            health=body.health,
            weight=body.weight,
            locality=body.locality,
            metadata=_clean(body.metadata),
            lease=ttl,
        )
    except ValueError as error:
        raise Problem(422, str(error)) from error


def _clean(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata that every registry can hold.

    Raises:
        ValueError: it isn't.
    """
    for name, value in metadata.items():
        if not name or len(name) > 256 or not name.isprintable():
            raise ValueError(f"metadata: a name must be 1 to 256 printable characters, found {name[:100]!r}")
        if "\0" in value or len(value) > 8192:
            raise ValueError(f"metadata: the value of {name!r} holds NUL or more than 8192 characters")
    return metadata


def _done(outcome: Outcome) -> Answer:
    if isinstance(outcome, Done):
        return Answer(status=204)
    raise _problem_of(outcome)


def _problem_of(outcome: Outcome) -> Problem:
    match outcome:
        case Unknown(reason=reason):
            return Problem(404, reason)
        case Conflict(reason=reason):
            return Problem(409, reason)
        case Refused(reason=reason):
            return Problem(422, reason)
        case Failed(reason=reason):
            return unavailable(reason)
        case Done():
            raise TypeError("done is no problem")


_INSTANCE: Final = "/api/v1/instances/{namespace}/{name}/{id}"

ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v1/instances",
        about="Register an instance, or replace it. It lives as long as heartbeats come within its `ttl`.",
        handler=register,
        role="register",
        takes=Registration,
        gives=Registered,
        status=201,
        problems=(409, 422, 503),
    ),
    Route(
        method="PUT",
        path=f"{_INSTANCE}/heartbeat",
        about="Let an instance live on. 404: register it again.",
        handler=heartbeat,
        role="register",
        status=204,
        problems=(404, 422, 503),
    ),
    Route(
        method="PATCH",
        path=_INSTANCE,
        about="Drain an instance (`draining`), take it back (`passing`), or give it another weight.",
        handler=change,
        role="operate",
        takes=Change,
        status=204,
        problems=(404, 409, 422, 503),
    ),
    Route(
        method="DELETE",
        path=_INSTANCE,
        about="Deregister an instance.",
        handler=deregister,
        role="register",
        query=(Parameter("registry", "Where it was registered; left out, our own."),),
        status=204,
        problems=(404, 409, 422, 503),
    ),
    Route(
        method="POST",
        path="/api/v1/registries/{name}/release",
        about="Let the removals that a registry's guard holds happen.",
        handler=release,
        role="operate",
        gives=Released,
        problems=(404,),
    ),
)
