"""Selections: which services cross between two hubs, and under which names. The same rule holds at both ends.

A service crosses if a selection names it and none denies it. The first that lets it through gives its name there.
"""

from collections.abc import Sequence

import msgspec

from pilot_plus.model import Pairs
from pilot_plus.quantities import matches


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Services by patterns of their whole names, and instances of them by their metadata."""

    services: tuple[str, ...]
    labels: Pairs = ()
    deny: bool = False
    rename: str = ""
    """`NAMESPACE/NAME` there, or a name only; `{1}`, `{2}` are what the stars of the pattern stand for."""

    def renamed(self, service: str) -> str | None:
        """The service's whole name on the other side; None if this selection doesn't mean it."""
        for pattern in self.services:
            if found := matches(pattern, service):
                return _filled(self.rename, found.groups(), service) if self.rename else service
        return None


class Rule(msgspec.Struct, frozen=True):
    """What the selections say of one service: the names that it may have, with the labels each wants, in order."""

    allowed: tuple[tuple[str, frozenset[tuple[str, str]]], ...]
    denied: tuple[frozenset[tuple[str, str]], ...]

    def name_of(self, metadata: Pairs) -> str | None:
        """The whole name of an instance with this metadata; None if it may not cross."""
        has = frozenset(metadata) if any(labels for _, labels in self.allowed) or self.denied else frozenset()
        if any(labels <= has for labels in self.denied):
            return None
        return next((name for name, labels in self.allowed if labels <= has), None)


def rule_of(selections: Sequence[Selection], service: str) -> Rule | None:
    """What selections say of a service; None if none of its instances can cross."""
    allowed, denied = [], []
    for selection in selections:
        name = selection.renamed(service)
        if name is None:
            continue
        labels = frozenset(selection.labels)
        if selection.deny:
            denied.append(labels)
        else:
            allowed.append((name, labels))
    if not allowed or frozenset() in denied:
        return None
    return Rule(tuple(allowed), tuple(denied))


def _filled(target: str, stars: Sequence[str], service: str) -> str:
    for index, star in enumerate(stars, 1):
        target = target.replace(f"{{{index}}}", star)
    return target if "/" in target else f"{service.partition('/')[0]}/{target}"
