"""Dubbo on Consul: the service is the interface, and `Meta.url` is all that Dubbo's consumers read. Pure.

Source: apache/dubbo-spi-extensions `ConsulRegistry`.
"""

from typing import Final

from pilot_plus.model import Health, Instance
from registries.consul.records import Service
from registries.layouts.dubbo import PROTOCOLS, provider_of
from registries.layouts.dubbo_url import DubboUrl, parse_url

URL: Final = "url"
LAYOUT: Final = "dubbo"
_ITS_OWN: Final = ("dubbo://", "tri://")
_ORDER: Final = tuple(Health)


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


_SCHEMES: Final = tuple(f"{protocol}://" for protocol in sorted(PROTOCOLS))
