"""What a layout is: `decode` a raw record into instances, `encode` an instance into a raw record."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from pilot_plus.model import Instance, Service


class Raw(msgspec.Struct, frozen=True):
    """A record as the registry holds it: ZooKeeper's node, etcd's key and value."""

    path: str
    data: bytes = b""


Decoded: TypeAlias = Sequence[Instance | Service]
"""What one raw record says. Often one instance; empty where the record is none of this layout's (a directory, …)."""


class Layout(Protocol):
    """A convention, with its options. Values, so that settings compare and print."""

    @property
    def name(self) -> str:
        """As it stands in the configuration."""
        ...

    @property
    def root(self) -> str:
        """The path or key prefix below which its records lie."""
        ...

    @property
    def protocols(self) -> frozenset[str]:
        """What this layout's readers can speak: an instance that speaks none of it is not written. Empty: anything."""
        ...

    def decode(self, raw: Raw) -> Decoded:
        """Read a record.

        Raises:
            ValueError: it should be one of this layout's, but can't be used; the message is the reason for people.
        """
        ...

    def encode(self, instance: Instance) -> Raw:
        """Write an instance as this layout's readers expect it.

        Raises:
            ValueError: the layout can't hold it, and why.
        """
        ...


LayoutSetting: TypeAlias = str | dict[str, dict[str, object] | None]
"""In a configuration: `dubbo`, or `{naming: {prefix: services, protocol: http}}`."""


def layouts_of(settings: Sequence[LayoutSetting], known: Mapping[str, type[Layout]]) -> tuple[Layout, ...]:
    """The layouts that a configuration names, with their options.

    Raises:
        ValueError: an unknown layout or option; the message names it and what is known.
    """
    return tuple(_layout_of(setting, known) for setting in settings)


def _layout_of(setting: LayoutSetting, known: Mapping[str, type[Layout]]) -> Layout:
    if isinstance(setting, str):
        name, options = setting, None
    elif len(setting) == 1:
        name, options = next(iter(setting.items()))
    else:
        raise ValueError(f"layouts: expected a name or {{NAME: {{options}}}}, found {len(setting)} names in one entry")
    if name not in known:
        raise ValueError(f"layouts: {name!r} is unknown here; known are {', '.join(sorted(known))}")
    try:
        return msgspec.convert(options or {}, known[name])
    except msgspec.ValidationError as error:
        raise ValueError(f"layouts: {name}: {error}") from error
