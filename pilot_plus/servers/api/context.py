"""The context: what the handlers answer from."""

from collections.abc import Callable, Sequence
from time import monotonic

import msgspec

from pilot_plus.catalog import Catalog, Entry, Holder, Source
from pilot_plus.catalog.admission import admission_of
from pilot_plus.config import Config
from pilot_plus.servers.api.answers import Answers, tail_of, with_revision
from pilot_plus.servers.api.clients import Clients, Nobody
from pilot_plus.servers.api.desk import Desk, Past
from pilot_plus.servers.api.neighbourhood import Neighbourhood
from pilot_plus.servers.api.notary import Notary
from pilot_plus.servers.api.problem import Problem
from pilot_plus.servers.api.route import Answer
from pilot_plus.views.edges import Carrying, Edges, edges_of
from pilot_plus.views.names import counting, meant_by
from pilot_plus.views.topology import topology_of


class Context:
    """One hub, as the API sees it."""

    def __init__(
        self,
        config: Config,
        holder: Holder,
        desk: Desk,
        *,
        clock: Callable[[], float] = monotonic,
        carrying: Callable[[], Carrying] = Carrying,
        notary: Notary | None = None,
        clients: Clients | None = None,
        neighbourhood: Neighbourhood | None = None,
        past: Past | None = None,
    ) -> None:
        """Answer from what `holder` publishes; write and operate through `desk`, and `notary` for who belongs to us.

        `clock`: monotonic seconds. `carrying`: what the edges have acknowledged by now. `past`: None where no history
        is kept.
        """
        self.config = config
        self.holder = holder
        self.desk = desk
        self.past = past
        self.clock = clock
        self.topology = topology_of(config)
        self.home = self.topology.home
        self.admissions = {registry.name: admission_of(config, registry) for registry in config.registries}
        self.answers = Answers(self.home, clock)
        self.started = clock()
        self._carrying = carrying
        self._notary = notary
        self.clients: Clients = clients or Nobody()
        self.neighbourhood = neighbourhood

    @property
    def notary(self) -> Notary:
        """Who gives and takes back identities.

        Raises:
            Problem: 503, this hub gives none.
        """
        if self._notary is None:
            raise Problem(503, "this hub gives no identities")
        return self._notary

    def reload(self, config: Config) -> None:
        """Go on with another configuration: other zones and exports; its registries are those of this one."""
        self.config = config
        self.topology = topology_of(config)

    def edges(self, catalog: Catalog) -> Edges:
        """The edges, and what they have said that they carry."""
        return edges_of(catalog, self.home, self._carrying())

    @property
    def catalog(self) -> Catalog:
        """The current one."""
        return self.holder.current

    def said(self, shape: msgspec.Struct, status: int = 200, catalog: Catalog | None = None) -> Answer:
        """A shape as an answer, with the revision of the catalog that it was made from."""
        revision = (catalog or self.catalog).revision
        return Answer(with_revision(revision, tail_of(shape)), status)

    def entry(self, namespace: str, name: str) -> Entry:
        """A service, by any of its names.

        Raises:
            Problem: 404.
        """
        catalog = self.catalog
        meant = meant_by(catalog, self.home, f"{namespace}/{name}")
        if len(meant) != 1:
            raise unknown_service(namespace, name, meant)
        return catalog.entries[meant[0]]

    def counting(self, namespace: str, name: str) -> tuple[str, str]:
        """The names that count, where somebody asks for a service by a whole name; else the same."""
        return counting(self.catalog, self.home, namespace, name) if namespace and name else (namespace, name)

    def source(self, name: str) -> Source:
        """A registry.

        Raises:
            Problem: 404.
        """
        source = self.catalog.sources.get(name)
        if source is None or source.is_built_in:
            known = ", ".join(sorted(n for n, one in self.catalog.sources.items() if not one.is_built_in)) or "none"
            raise Problem(404, f"no registry {name[:100]!r} is configured; there are: {known}")
        return source


def unknown_service(namespace: str, name: str, meant: Sequence[str] = ()) -> Problem:
    """There is no such service, or the name is one of several."""
    asked = f"{namespace}/{name}"[:200]
    if meant:
        several = ", ".join(meant[:10])
        return Problem(404, f"{asked!r} is a further name of several services; ask for one of them: {several}"[:1000])
    return Problem(404, f"no registry holds a service {asked!r}")
