"""Naming: how a registry's name for a service becomes its name in the catalog.

    the registry's     rename                     separate           alias
    vm/user.rpc        {from: "*.rpc", to: "{1}"}
                       vm/user                    vm/user-etcd       shop/users

Each step is the configuration's word, and each can be left out. A rule decides for ever: the same name always becomes
the same one, whatever else is in the catalog, so no service changes its name because another one comes.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from sys import intern
from typing import Final

import msgspec

from pilot_plus.config import Config, RegistrySection
from pilot_plus.model import split_service
from pilot_plus.quantities import matches

_STAR: Final = re.compile(r"\{(\d+)\}")


class Step(msgspec.Struct, frozen=True):
    """One step on the way of a name: what decided it, and the whole name behind it."""

    why: str
    name: str


class Naming(msgspec.Struct, frozen=True, kw_only=True):
    """One registry's way from its own names to the catalog's."""

    renames: tuple[tuple[str, str], ...] = ()
    """Pattern and target; the first that fits decides."""
    suffix: str = ""
    """What keeps its services apart from those of other registries."""
    aliases: Mapping[str, str] = {}
    """Whole names, and what they are called instead; the same for all registries."""

    def named(self, namespace: str, name: str) -> tuple[str, str]:
        """Namespace and name in the catalog.

        Raises:
            ValueError: a rule makes no name of it.
        """
        if self.renames:
            namespace, name = renamed(self.renames, namespace, name)
        if self.suffix:
            name = intern(name + self.suffix)
        if self.aliases and (alias := self.aliases.get(f"{namespace}/{name}")):
            return split_service(alias)
        return namespace, name

    @property
    def lets_records_choose(self) -> bool:
        """Whether a rule makes the namespace from what a record says."""
        return any("/" in to and "{" in to.partition("/")[0] for _, to in self.renames)

    def steps(self, registry: str, namespace: str, name: str) -> Iterator[Step]:
        """The same, told: the steps that change the name."""
        for index, rule in enumerate(self.renames):
            if _found(rule[0], namespace, name):
                namespace, name = renamed((rule,), namespace, name)
                yield Step(f"rename[{index}] of {registry}: {rule[0]} → {rule[1]}", f"{namespace}/{name}")
                break
        if self.suffix:
            name += self.suffix
            yield Step(f"names.conflicts keeps the services of {registry} apart", f"{namespace}/{name}")
        if alias := self.aliases.get(f"{namespace}/{name}"):
            yield Step("names.aliases", alias)


def naming_of(config: Config, registry: RegistrySection) -> Naming:
    """The names of one registry in a configuration."""
    return Naming(
        renames=tuple((rename.from_, rename.to) for rename in registry.rename),
        suffix=f"-{registry.name}" if registry.name in config.separated else "",
        aliases=aliases_of(config),
    )


def aliases_of(config: Config) -> Mapping[str, str]:
    """The names that a configuration gives instead of others: another name, and the one that counts."""
    return {other: alias.name for alias in config.names.aliases for other in alias.services if other != alias.name}


@lru_cache(maxsize=65536)
def renamed(renames: tuple[tuple[str, str], ...], namespace: str, name: str) -> tuple[str, str]:
    """The name that the first fitting rule gives; `{1}`, `{2}` in it are what the stars stand for.

    Only a `/` of the rule's own divides namespace and name: a record can't choose its namespace by what it is called.

    Raises:
        ValueError: a rule makes no name of it.
    """
    for pattern, to in renames:
        if found := _found(pattern, namespace, name):
            head, slash, tail = to.partition("/")
            space, bare = (_filled(head, found), _filled(tail, found)) if slash else (namespace, _filled(to, found))
            if not space or not bare or "/" in space:
                raise ValueError(
                    f"`rename` of {pattern} to {to} makes {f'{space}/{bare}'[:200]!r} of it: that is no name"
                )
            return intern(space), intern(bare)
    return namespace, name


def _found(pattern: str, namespace: str, name: str) -> re.Match[str] | None:
    """How a rule fits: a pattern with a `/` is about whole names, one without about bare ones."""
    return matches(pattern, f"{namespace}/{name}") or matches(pattern, name)


def _filled(text: str, found: re.Match[str]) -> str:
    stars = found.groups()
    return _STAR.sub(lambda place: stars[int(place[1]) - 1] if 0 < int(place[1]) <= len(stars) else place[0], text)
