"""Units: which services of the catalog make which services of a target, kept up to date a service at a time.

rule r: legacy/* → "{name}"        of(vm/orders) = r from legacy/orders
                                   touched legacy/orders or vm/orders → plan vm/orders
"""

from collections.abc import Iterable, Iterator

from pilot_plus.catalog import Catalog
from pilot_plus.model import NO_ORIGIN
from pilot_plus.views.copies import LeftOut
from pilot_plus.views.rules import Rule, Target, unit_of


class Units:
    """The units of one target."""

    def __init__(self, target: Target, rules: Iterable[Rule]) -> None:
        """Begin with no service known."""
        self.target = target
        self.rules = {rule.name: rule for rule in rules}
        self._order = {name: index for index, name in enumerate(self.rules)}
        self._made_from: dict[str, set[tuple[str, str]]] = {}
        self._makes: dict[str, set[tuple[str, str]]] = {}
        self.unnamed: dict[str, list[LeftOut]] = {}
        """Services that the target can't have under the name that a rule gives."""

    def of(self, unit: str) -> list[tuple[Rule, str]]:
        """The rules and services that make a unit, in an order that stays."""
        claims = self._made_from.get(unit, ())
        return [(self.rules[rule], service) for rule, service in sorted(claims, key=self._rank)]

    def touch(self, catalog: Catalog, service: str) -> set[str]:
        """Look at a service again; return the units that it concerns or did."""
        before = self._makes.get(service, set())
        now = set(self._claims(service)) if service in catalog.entries else set()
        if service not in catalog.entries:
            self.unnamed.pop(service, None)
        for rule, unit in before - now:
            self._made_from[unit].discard((rule, service))
            if not self._made_from[unit]:
                del self._made_from[unit]
        for rule, unit in now - before:
            self._made_from.setdefault(unit, set()).add((rule, service))
        if now:
            self._makes[service] = now
        else:
            self._makes.pop(service, None)
        return {unit for _, unit in before | now}

    def known(self) -> list[str]:
        """All services that make something."""
        return list(self._makes)

    def _claims(self, service: str) -> Iterator[tuple[str, str]]:
        self.unnamed.pop(service, None)
        for rule in self.rules.values():
            if not rule.takes(service):
                continue
            try:
                yield rule.name, unit_of(rule, self.target, service)
            except ValueError as error:
                why = f"{self.target.registry} can't have it: {error}"
                left_out = LeftOut(rule=rule.name, service=service, id="", origin=NO_ORIGIN, why=why)
                self.unnamed.setdefault(service, []).append(left_out)

    def _rank(self, claim: tuple[str, str]) -> tuple[int, str]:
        return self._order[claim[0]], claim[1]
