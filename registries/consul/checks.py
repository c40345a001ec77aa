"""What has changed from one list of all checks (`/v1/health/state/any`) to the next. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from registries.consul.records import Check


class Checks:
    """All checks as one number for each service, and one for each node: order does not matter, sets do."""

    def __init__(self) -> None:
        self._services: dict[str, int] = {}
        self._nodes: dict[str, int] = {}
        self._new_services: dict[str, int] = defaultdict(int)
        self._new_nodes: dict[str, int] = defaultdict(int)

    def add(self, checks: Iterable[Check]) -> None:
        """Take a part of the next list."""
        for check in checks:
            number = hash((check.node, check.service_id, check.check_id, check.status))
            if check.service_id:
                self._new_services[check.service_name] += number
            else:
                self._new_nodes[check.node] += number

    def changed(self) -> tuple[set[str], set[str]]:
        """The list is complete: the services and the nodes whose checks differ from those of the list before."""
        services = _differing(self._services, self._new_services)
        nodes = _differing(self._nodes, self._new_nodes)
        self._services, self._nodes = dict(self._new_services), dict(self._new_nodes)
        self._new_services.clear()
        self._new_nodes.clear()
        return services, nodes


def _differing(before: Mapping[str, int], after: Mapping[str, int]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
