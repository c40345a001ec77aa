"""Writing at a Consul agent: one registration for each copy, on the node of the agent that we talk to.

Ownership is proved by the agent's own record: its ID begins with `pilot-plus:` and its Meta holds `pilot-plus-id`. What
stands under one of our IDs without that is somebody else's, and left alone.

A leased copy has an alias check on a service of ours with one TTL check, so one call renews them all:

    pilot-plus:orders-1:9f86…   alias of ──┐
    pilot-plus:orders-2:3b1c…   alias of ──┴─▶ pilot-plus:lease:5f3a…   TTL 15 s

When nobody renews it, all turn critical together, and a minute or two later Consul removes them. A durable copy has no
such check. After a restart the successor keeps the lease alive that a copy's Meta names.
"""

from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Final, TypeVar
from uuid import uuid4

import msgspec

from pilot_plus.model import Instance
from pilot_plus.ports import Done, Failed, Refused, Result, SourceLost
from registries.consul import extras
from registries.consul.agent import Agent, segment
from registries.consul.background import for_each
from registries.consul.batch import judged, registrations
from registries.consul.decode import key_of, parts_of
from registries.consul.encode import PREFIX, Registration, lease_service
from registries.consul.preview import LEASE
from registries.consul.records import Held, Member, Self
from registries.consul.settings import WRITING

MANY: Final = 32
"""From so many on it is cheaper to list all that is ours than to ask for each."""
FRESH: Final = 6
"""A lease of which less than such a part has passed is not renewed for a write: that is done in its time."""
T = TypeVar("T")
_REGISTER: Final = "/v1/agent/service/register"
_REPLACING: Final = {"replace-existing-checks": "true"}


class AgentSink:
    """What one connection writes."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._member: Member | None = None
        self._leases: dict[float, str] = {}
        self._lease_of: dict[str, str] = {}
        self._renewed_at: dict[str, float] = {}

    @property
    def node(self) -> str:
        """The node of our agent; empty as long as nothing was written."""
        return self._member.node_name if self._member else ""

    async def put(self, copies: Sequence[Instance]) -> Sequence[Result]:
        """Write each; a leased one's lease begins anew, or has done so a moment ago."""
        member = await self._node()
        wanted = self._agent.settings.datacenter
        if wanted and wanted != member.datacenter:
            return [Refused(f"the agent writes into {member.datacenter}, and not into {wanted}") for _ in copies]
        for seconds in {copy.lease for copy in copies if copy.lease}:
            if not self._is_fresh(seconds):  # or each change would cost one more request
                await self._begin(seconds)
        bodies, results = await registrations(copies, lambda copy: self._leases.get(copy.lease, ""))
        held = await self._held([body.id for body in bodies.values()])

        async def write(number: int) -> None:
            body = bodies[number]
            results[number] = await self._register(body, held.get(body.id), member.node_name)

        await for_each(bodies, write, WRITING)
        return results

    async def drop(self, keys: Sequence[str]) -> Sequence[Result]:
        """Remove each that is ours."""
        member = await self._node()
        results: list[Result] = [_on_node(key, member.node_name) for key in keys]
        ours = [number for number, result in enumerate(results) if isinstance(result, Done)]
        held = await self._held([parts_of(keys[number])[2] for number in ours])

        async def remove(number: int) -> None:
            identity = parts_of(keys[number])[2]
            results[number] = await self._deregister(identity, held.get(identity), keys[number])

        await for_each(ours, remove, WRITING)
        return results

    async def renew(self, keys: Sequence[str]) -> Sequence[Result]:
        """Renew the leases that the copies of those keys live by; all copies of one lease live on with it."""
        member = await self._node()
        results: list[Result] = [_on_node(key, member.node_name) for key in keys]
        ids = {n: parts_of(keys[n])[2] for n, result in enumerate(results) if isinstance(result, Done)}
        await self._learn(identity for identity in ids.values() if identity not in self._lease_of)
        lost = await self._renewed({self._lease_of[one] for one in ids.values() if self._lease_of.get(one)})
        for number, identity in ids.items():
            lease = self._lease_of.get(identity)
            if lease is None:
                results[number] = Refused(f"the agent does not hold {identity}")
            elif lease in lost:
                results[number] = lost[lease]
                del self._lease_of[identity]
        return results

    async def tidy(self) -> None:
        """Remove leases by which no copy lives: ours, and those that nobody renews any more."""
        leases, needed = set[str](), set[str]()
        for identity, held in (await self._listed()).items():
            lease = (held.meta or {}).get(extras.LEASE, "").partition(" ")[2]
            (leases if lease == identity else needed).add(lease)
        for lease in leases - needed:
            mine = [seconds for seconds, one in self._leases.items() if one == lease]
            if mine or await self._is_over(lease):
                for seconds in mine:
                    del self._leases[seconds]
                self._renewed_at.pop(lease, None)
                await self._agent.text("PUT", f"/v1/agent/service/deregister/{segment(lease)}")

    async def _is_over(self, lease: str) -> bool:
        status, _ = await self._agent.text("GET", f"/v1/agent/health/service/id/{segment(lease)}")
        return status == 503  # critical

    async def _node(self) -> Member:
        if self._member is None:
            status, text = await self._agent.text("GET", "/v1/agent/self")
            if status != 200:
                raise SourceLost(
                    f"the agent doesn't say which node it is ({text[:100]!r}): to write, the token needs "
                    '`agent_prefix "" {policy = "read"}` and `service_prefix "" {policy = "write"}`'
                )
            self._member = _decoded(text, Self).config
        return self._member

    def _is_fresh(self, seconds: float) -> bool:
        """Whether our lease of so many seconds was renewed a moment ago."""
        renewed = self._renewed_at.get(self._leases.get(seconds, ""))
        return renewed is not None and monotonic() - renewed < seconds / FRESH

    async def _begin(self, seconds: float) -> None:
        """See that our lease of so many seconds is there, and begin it anew."""
        lease = self._leases.setdefault(seconds, LEASE + uuid4().hex)
        if not await self._renewed({lease}):
            return
        status, text = await self._agent.text("PUT", _REGISTER, lease_service(lease, seconds), _REPLACING)
        if status != 200 or await self._renewed({lease}):  # only what was once told outlives a restart of the agent
            raise SourceLost(f"Consul's agent takes no lease of ours: {status} {text[:200]!r}")

    async def _renewed(self, leases: Iterable[str]) -> dict[str, Result]:
        """Renew these; what became of those that could not be."""
        lost: dict[str, Result] = {}
        for lease in leases:
            asked = monotonic()
            status, text = await self._agent.text("PUT", f"/v1/agent/check/pass/{segment(lease)}")
            if status == 200:
                self._renewed_at[lease] = asked
                continue
            self._renewed_at.pop(lease, None)
            if status in (404, 500):  # Consul's way to say that it knows no such check
                lost[lease] = Refused(f"the agent no longer holds the lease: {text[:200]!r}")
            else:
                lost[lease] = Failed(f"{status} {text[:200]!r}")
        return lost

    async def _learn(self, ids: Iterable[str]) -> None:
        """Find the leases of copies that a former connection wrote; empty for durable ones."""
        for identity, held in (await self._held(list(ids))).items():
            lease = (held.meta or {}).get(extras.LEASE, "").partition(" ")[2]
            if not lease or lease.startswith(LEASE):  # and never the check of somebody else
                self._lease_of[identity] = lease

    async def _held(self, ids: Sequence[str]) -> dict[str, Held]:
        """What the agent holds under these IDs."""
        if len(ids) > MANY:
            return await self._listed()
        found: dict[str, Held] = {}

        async def ask(identity: str) -> None:
            status, text = await self._agent.text("GET", f"/v1/agent/service/{segment(identity)}")
            if status == 200:
                found[identity] = _decoded(text, Held)
            elif status != 404:
                raise SourceLost(f"Consul's agent doesn't show its services: {status} {text[:200]!r}")

        await for_each(ids, ask, WRITING)
        return found

    async def _listed(self) -> dict[str, Held]:
        """Everything that the agent holds under IDs like ours."""
        query = {"filter": f'ID matches "^{PREFIX}"'}
        status, text = await self._agent.text("GET", "/v1/agent/services", query=query)
        if status != 200:
            raise SourceLost(f"Consul's agent doesn't list its services: {status} {text[:200]!r}")
        return _decoded(text, dict[str, Held])

    async def _register(self, body: Registration, held: Held | None, node: str) -> Result:
        result = judged(held, key_of(body.name, node, body.id))
        if isinstance(result, Refused):
            return result
        status, text = await self._agent.text("PUT", _REGISTER, body, _REPLACING)
        if status == 200 and body.checks:
            status, text = await self._confirmed(body)
        if status == 200:
            self._lease_of[body.id] = body.meta.get(extras.LEASE, "").partition(" ")[2]
            return result
        return _unwritten(status, text)

    async def _confirmed(self, body: Registration) -> tuple[int, str]:
        """Say a warning once more: after a restart an agent remembers a check as critical unless it was told."""
        for check in body.checks:
            if check.status == "warning":
                return await self._agent.text("PUT", f"/v1/agent/check/warn/{segment(check.check_id)}")
        return 200, ""

    async def _deregister(self, identity: str, held: Held | None, key: str) -> Result:
        result = judged(held, key)
        if held is None or isinstance(result, Refused):
            return result
        status, text = await self._agent.text("PUT", f"/v1/agent/service/deregister/{segment(identity)}")
        self._lease_of.pop(identity, None)
        return result if status == 200 else _unwritten(status, text)


def _on_node(key: str, node: str) -> Result:
    """Whether a key is on our agent's node."""
    where = parts_of(key)[1]
    return Done(key) if where == node else Refused(f"the agent of {where[:100]!r} holds it, and ours is {node!r}")


def _unwritten(status: int, text: str) -> Result:
    """400 and 403 stay as they are however often it is tried."""
    reason = f"Consul's agent: {status} {text[:200]!r}"
    return Refused(reason) if status in (400, 403, 413) else Failed(reason)


def _decoded(text: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise SourceLost(f"Consul's agent answers in no JSON of its own: {error}") from error
