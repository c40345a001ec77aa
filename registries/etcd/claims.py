"""Records that don't say just one instance under their own key: what each claims, and what stands for a key. Pure.

A record of go-micro or APISIX claims several instances. Two records may claim one: a Dubbo provider's key is made of
its URL, so a new weight is a new record, and for a while both are there.

    put  /dubbo/…?weight=100   Put(orders@dubbo://10.1.0.7:20880, 100)
    put  /dubbo/…?weight=50    Put(the same, 50)     the latest stands
    drop /dubbo/…?weight=100   nothing               it wasn't the one that stood
    drop /dubbo/…?weight=50    Drop(the same)

Rules (Dubbo's configurators) change what an interface's instances are seen as.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from pilot_plus.model import Drop, Instance, Put, Service, Update
from registries.layouts.dubbo_rules import Override, overridden, split_name

Record: TypeAlias = Instance | Service


class Claims:
    """Every record's claims, the latest of each key, and the rules."""

    def __init__(self) -> None:
        self._said: dict[str, dict[str, Record]] = {}  # path, key
        self._claimants: dict[str, dict[str, None]] = {}  # key, paths in the order in which they spoke
        self._rules: dict[str, dict[str, Override]] = {}  # interface, path
        self._ruled: dict[str, str] = {}  # path, interface
        self._keys: dict[str, dict[str, None]] = {}  # interface, keys

    def __contains__(self, path: str) -> bool:
        return path in self._said

    def all(self) -> Iterable[Record]:
        """What stands for each key."""
        return [self._standing(key) for key in self._claimants]

    def claimants(self, key: str) -> Sequence[str]:
        """The records that claim a key, the one that stands for it first."""
        return tuple(reversed(self._claimants.get(key, {})))

    def put(self, path: str, said: Sequence[Record]) -> list[Update]:
        """The record says this now."""
        before, now = self._said.pop(path, {}), {record.key: record for record in said}
        if now:
            self._said[path] = now
        for key, record in now.items():
            claimants = self._claimants.setdefault(key, {})
            claimants.pop(path, None)
            claimants[path] = None
            self._keys.setdefault(_interface(record), {})[key] = None
        gone = [update for key in before.keys() - now.keys() for update in self._release(path, key, before[key])]
        return [*(Put(self._standing(key)) for key in now), *gone]

    def put_rule(self, path: str, rule: Override | None) -> list[Update]:
        """The record is this rule now, or none: what stands for the instances concerned."""
        interfaces = {self._ruled.pop(path)} if path in self._ruled else set()
        for interface in interfaces:
            del self._rules[interface][path]
        if rule is not None:
            self._ruled[path] = rule.interface
            self._rules.setdefault(rule.interface, {})[path] = rule
            interfaces.add(rule.interface)
        return [Put(self._standing(key)) for interface in interfaces for key in self._keys.get(interface, ())]

    def _release(self, path: str, key: str, record: Record) -> list[Update]:
        claimants = self._claimants[key]
        stood = next(reversed(claimants)) == path
        del claimants[path]
        if claimants:
            return [Put(self._standing(key))] if stood else []
        del self._claimants[key]
        keys = self._keys[_interface(record)]
        del keys[key]
        if not keys:
            del self._keys[_interface(record)]
        return [Drop(key)]

    def _standing(self, key: str) -> Record:
        record = self._said[next(reversed(self._claimants[key]))][key]
        rules = self._rules.get(_interface(record))
        return overridden(record, rules.values()) if rules and isinstance(record, Instance) else record


def _interface(record: Record) -> str:
    return split_name(record.name)[0]
