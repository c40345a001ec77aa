"""What a token may see: with access control on, a reading without rights is answered with 200 and an empty list.

Consul's own service `consul` is in every catalog, so a list without it is not the whole list. What that means is told
apart here, as far as Consul lets anybody tell; it never reaches the catalog as "there is nothing".
"""

from collections.abc import Collection
from enum import Enum
from typing import Final

import msgspec

from pilot_plus.ports import SourceLost
from registries.consul.agent import Agent
from registries.consul.decode import OWN_SERVICE

REMEDY: Final = 'grant it `service_prefix "" {policy = "read"}` and `node_prefix "" {policy = "read"}`'
_MOST_NODES: Final = 64


class Control(Enum):
    """Whether Consul's access control is on."""

    ON = "on"
    OFF = "off"


class _Verdict(msgspec.Struct, rename="pascal"):
    resource: str
    segment: str
    allow: bool


async def access_control(agent: Agent) -> Control:
    """Ask whether it is on: Consul says that it is off in answer to a question about our token.

    Raises:
        SourceLost: the API can't be reached, or doesn't know the token.
    """
    status, text = await agent.text("GET", "/v1/acl/token/self")
    if status == 403 and agent.settings.token:
        raise SourceLost(f"Consul at {agent.settings.url} refuses the token: {text[:100]!r}")
    if status not in (200, 401, 403):
        raise SourceLost(f"Consul at {agent.settings.url}: {status} {text[:100]!r}")
    return Control.OFF if status == 401 else Control.ON


def check_list(services: Collection[str], control: Control, *, saw_own: bool) -> None:
    """Refuse a list of services that can't be the whole truth.

    Raises:
        SourceLost: the token may not read (any more), or Consul has only just started.
    """
    if OWN_SERVICE in services:
        return
    if control is Control.OFF:
        raise SourceLost("Consul has just started: its catalog doesn't even hold the service `consul` yet")
    if saw_own:
        raise SourceLost(f"the token may no longer read Consul's catalog: {REMEDY}")
    if not services:
        raise SourceLost(
            f"the token may not read any service of Consul's catalog, or there is none that it may read: {REMEDY}; "
            'at least `service "consul" {policy = "read"}`, so that an empty catalog can be told'
        )


def check_first(listed: int, entries: int) -> None:
    """Refuse a first reading in which services are listed, and all are empty: in Consul they never are.

    Raises:
        SourceLost: the token may not read nodes.
    """
    if listed and not entries:
        raise SourceLost(f"the token sees {listed} services, but may not read the node of any instance: {REMEDY}")


async def check_vanished(agent: Agent, service: str, nodes: Collection[str]) -> None:
    """Make sure that a service which has become empty is empty, and not hidden from us.

    Raises:
        SourceLost: the token may not read it (any more).
    """
    asked = [_question("service", service), *(_question("node", node) for node in sorted(nodes)[:_MOST_NODES])]
    status, text = await agent.text("POST", "/v1/internal/acl/authorize", asked)
    if status == 403:
        raise SourceLost(f"Consul at {agent.settings.url} refuses the token: {text[:100]!r}")
    if status >= 500 or status == 429:
        raise SourceLost(f"Consul at {agent.settings.url}: {status} {text[:100]!r}")
    if status != 200:
        return  # a Consul that can't be asked: what it lists is all that we can know
    for verdict in msgspec.json.decode(text, type=list[_Verdict]):
        if not verdict.allow:
            raise SourceLost(f"the token may no longer read the {verdict.resource} {verdict.segment[:100]!r}: {REMEDY}")


def _question(resource: str, name: str) -> dict[str, str]:
    return {"Resource": resource, "Segment": name, "Access": "read"}
