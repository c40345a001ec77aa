"""Hosts: which service has a host. Kept up with the catalog, because a host can't be read backwards."""

from collections.abc import Iterable

from pilot_plus.catalog import Catalog
from pilot_plus.model import split_service
from pilot_plus.views.host import host_of


class Hosts:
    """The services of a catalog by their hosts. The index is made when somebody asks first."""

    def __init__(self, catalog: Catalog, domain: str) -> None:
        self._catalog = catalog
        self._domain = domain
        self._services: dict[str, str] | None = None

    def __repr__(self) -> str:
        return f"<Hosts in {self._domain}>"

    def service(self, host: str) -> str | None:
        """The service that has a host."""
        if self._services is None:
            self._services = {self.host(service): service for service in self._catalog.entries}
        return self._services.get(host)

    def host(self, service: str) -> str:
        """The host that a service has, or would have."""
        return host_of(*split_service(service), self._domain)

    def advance(self, catalog: Catalog, touched: Iterable[str]) -> None:
        """Show the next catalog."""
        self._catalog = catalog
        if self._services is None:
            return
        for service in touched:
            if service in catalog.entries:
                self._services[self.host(service)] = service
            else:
                self._services.pop(self.host(service), None)
