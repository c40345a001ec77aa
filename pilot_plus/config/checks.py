"""Checks of single values that a decoder can't make."""

import ipaddress
from difflib import get_close_matches

from pilot_plus.config.sections import Config, ConfigError
from pilot_plus.model import whole_zone


def unique(place: str, names: list[str]) -> set[str]:
    """The names in a list of sections.

    Raises:
        ConfigError: one is there twice.
    """
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ConfigError(f"{place}[{index}].name: {name!r} is there twice")
    return set(names)


def check_known(place: str, name: str, known: set[str], where: str) -> None:
    """Refuse a name that is not among those of another section (`where`)."""
    if name not in known:
        close = get_close_matches(name, sorted(known), 1)
        raise ConfigError(
            f"{place}: {name!r} is not among `{where}`" + (f"; did you mean {close[0]!r}?" if close else "")
        )


def check_zone(config: Config, zones: set[str], place: str, zone: str) -> None:
    """A zone of ours must be declared, if any are; without `zones` a registry's zone declares itself, not meshed."""
    cluster, _, name = whole_zone(config.cluster, zone).partition("/")
    if cluster == config.cluster and config.zones:
        check_known(place, name, zones, "zones")


def check_network(place: str, text: str) -> None:
    """Refuse what is no network."""
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(f"{place}: expected a network like 10.1.0.0/16, found {text!r} ({error})") from error


def check_patterns(place: str, patterns: tuple[str, ...]) -> None:
    """Refuse what is no pattern of services."""
    for pattern in patterns:
        namespace, slash, name = pattern.partition("/")
        if not (namespace and slash and name):
            raise ConfigError(f"{place}: expected NAMESPACE/NAME, each with `*` where anything goes, found {pattern!r}")
