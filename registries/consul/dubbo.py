"""Dubbo on Consul: the service is the interface, and `Meta.url` is all that Dubbo's consumers read. Pure.

A value of `Meta` has at most 512 bytes. A URL that is longer loses parameters that a consumer can do without, `methods`
first, then the longest; never those by which it chooses and calls.

Source: apache/dubbo-spi-extensions `ConsulRegistry`.
"""

from typing import Final

import msgspec

from pilot_plus.model import NO_ORIGIN, Health, Instance
from registries.consul.records import Service
from registries.layouts.dubbo import PROTOCOLS, provider_of, provider_url
from registries.layouts.dubbo_url import DubboUrl, parse_url

URL: Final = "url"
TAG: Final = "dubbo"
"""Consumers ask for the instances with this tag that pass all checks."""
_ITS_OWN: Final = ("dubbo://", "tri://")
_ORDER: Final = tuple(Health)
_NEEDED: Final = frozenset(
    ("interface", "version", "group", "weight", "disabled", "side", "dynamic", "path", "serialization")
)


def url_of(service: Service) -> DubboUrl | None:
    """The Dubbo URL of a record; None if it has none, or one of something else.

    Raises:
        ValueError: it is Dubbo's, and damaged.
    """
    text = (service.meta or {}).get(URL, "")
    if not text.startswith(_ITS_OWN) and not (text.startswith(_SCHEMES) and "interface=" in text):
        return None
    return parse_url(text)


def provider(url: DubboUrl, service: Service) -> Instance | None:
    """The instance that a Dubbo URL describes.

    Raises:
        ValueError: it can't be used.
    """
    return provider_of(url, service.service, "")


def worse(one: Health, other: Health) -> Health:
    """The worse of what Consul's checks and the URL say."""
    return max(one, other, key=_ORDER.index)


def url_for(copy: Instance, most: int) -> DubboUrl | None:
    """The URL by which Dubbo's consumers find a copy; None if it is nothing for them.

    Raises:
        ValueError: it has more than `most` bytes whatever is left out.
    """
    if not any(port.protocol in _SPOKEN for port in copy.ports):
        return None
    try:
        url = provider_url(msgspec.structs.replace(copy, origin=NO_ORIGIN), "dubbo")
    except ValueError:
        return None  # a name that no Dubbo consumer could ask for
    parameters = dict(url.parameters)
    spare = sorted(parameters.keys() - _NEEDED, key=lambda name: (name != "methods", -len(parameters[name])))
    while len(str(url).encode()) > most and spare:
        del parameters[spare.pop(0)]
        url = msgspec.structs.replace(url, parameters=dict(parameters))
    if len(str(url).encode()) > most:
        raise ValueError(f"its Dubbo URL has more than {most} bytes even without what can be left out")
    return url


_SPOKEN: Final = frozenset(("dubbo", "tri"))
_SCHEMES: Final = tuple(f"{protocol}://" for protocol in sorted(PROTOCOLS))
