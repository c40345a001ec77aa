"""Names: aliases, renames and conflicts that can't be what somebody meant."""

import re
from collections.abc import Iterator

from pilot_plus.config.checks import check_known
from pilot_plus.config.sections import Config, ConfigError, Rename
from pilot_plus.model import split_service


def check_names(config: Config) -> None:
    """Check aliases, conflicts and renames.

    Raises:
        ConfigError: one of them can't work.
    """
    registries = {registry.name for registry in config.registries}
    for name in config.preferred:
        known = registries | {peer.name for peer in config.peers}
        check_known("names.conflicts.prefer", name, known, "registries")
    for name in config.separated:
        check_known("names.conflicts.separate", name, registries, "registries")
    called: dict[str, str] = {}
    for index, alias in enumerate(config.names.aliases):
        for key, name in (("name", alias.name), *(("services", name) for name in alias.services)):
            _check_service(f"names.aliases[{index}].{key}", name)
            if called.setdefault(name, alias.name) != alias.name:
                raise ConfigError(f"names.aliases[{index}].{key}: {name!r} is a name of {called[name]!r} already")
    for index, registry in enumerate(config.registries):
        for number, rename in enumerate(registry.rename):
            _check_rename(f"registries[{index}].rename[{number}]", rename)


def _check_service(place: str, name: str) -> None:
    try:
        namespace, _ = split_service(name)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from error
    if "*" in name or namespace == "pilot-plus":
        raise ConfigError(f"{place}: expected a service's whole name without `*`, not among the hub's own: {name!r}")


def _check_rename(place: str, rename: Rename) -> None:
    stars = rename.from_.count("*")
    if not rename.from_ or not rename.to or rename.to.startswith("/") or rename.to.endswith("/"):
        raise ConfigError(f"{place}: expected a pattern in `from`, and NAME or NAMESPACE/NAME in `to`")
    for number in re.findall(r"\{(\d+)\}", rename.to):
        if not 1 <= int(number) <= stars:
            raise ConfigError(f"{place}.to: {{{number}}} stands for no `*`; {rename.from_!r} has {stars}")


def check_counting(config: Config) -> None:
    """Check that services are selected by names that they have.

    Raises:
        ConfigError: `names.aliases` gives a service that is selected another name.
    """
    counting = {name: alias.name for alias in config.names.aliases for name in alias.services if name != alias.name}
    for place, patterns in _selections(config):
        for pattern in patterns:
            if pattern in counting:
                named = counting[pattern]
                raise ConfigError(f"{place}: `names.aliases` makes {pattern!r} {named!r}; select it by that name")


def _selections(config: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Where services are selected by the names that the catalog has for them."""
    for index, rule in enumerate(config.sync):
        yield f"sync[{index}].from.services", rule.from_.services
    for index, export in enumerate(config.exports):
        yield f"exports[{index}].services", export.services
    for index, peer in enumerate(config.peers):
        for number, selection in enumerate(peer.export):
            yield f"peers[{index}].export[{number}].services", selection.services
