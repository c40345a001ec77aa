"""The desk: what the API asks of the hub beyond reading, carried out by the registrar and by ingest."""

from collections.abc import Mapping, Sequence

from pilot_plus.catalog.admission import Admission
from pilot_plus.ingest import Ingest
from pilot_plus.model import Health, Instance
from pilot_plus.ports import Done, Failed, Refused
from pilot_plus.servers.api import Outcome as Answer
from pilot_plus.servers.api import Placed, Unknown
from pilot_plus.sync import Missing, Outcome, Registrar, Sync


class HubDesk:
    """Registers through the registrar, after asking what admission will say; releases through ingest."""

    def __init__(
        self, registrar: Registrar, ingest: Ingest, sync: Sync, admissions: Mapping[str, Admission], own: str | None
    ) -> None:
        """`admissions`: each registry's rules by its name; `own`: our own registry's name, if there is one."""
        self._registrar = registrar
        self._ingest = ingest
        self.sync = sync
        self._admissions = admissions
        self._own = own

    async def put(self, instance: Instance, registry: str | None, layout: str, /) -> Placed | Answer:
        """Register; what could never enter the catalog is refused here rather than skipped later."""
        admission = self._admissions.get(registry or self._own or "")
        if admission is not None:
            try:
                admission.instance(instance)
            except ValueError as reason:
                return Refused(str(reason))
        where, outcome = await self._registrar.put(instance, registry, layout)
        return Placed(where, outcome.key) if isinstance(outcome, Done) else _answer(outcome)

    async def drop(self, namespace: str, name: str, id_: str, registry: str | None, /) -> Answer:
        """Deregister."""
        return _answer(await self._registrar.drop(namespace, name, id_, registry))

    async def renew(self, namespace: str, name: str, id_: str, /) -> Answer:
        """Take a heartbeat."""
        return _answer(await self._registrar.renew(namespace, name, id_))

    async def change(self, namespace: str, name: str, id_: str, health: Health | None, weight: int | None, /) -> Answer:
        """Drain an instance, or weigh it anew."""
        return _answer(await self._registrar.change(namespace, name, id_, health, weight))

    async def locate(self, registry: str, keys: Sequence[str], /) -> Mapping[str, Sequence[str]]:
        """Ask the registry where its records lie."""
        return await self._ingest.locate(registry, keys)

    async def release(self, registry: str, /) -> int:
        """Let held removals happen."""
        return await self._ingest.release(registry)


def _answer(outcome: Outcome) -> Answer:
    match outcome:
        case Missing(reason=reason):
            return Unknown(reason)
        case Done() | Refused() | Failed():
            return outcome
