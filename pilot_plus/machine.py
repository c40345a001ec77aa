"""The machine: the addresses at which others reach what listens on all of them."""

import socket
from contextlib import suppress
from functools import cache
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from struct import pack
from typing import Final

_ADDRESS_OF: Final = 0x8915
"""Linux's SIOCGIFADDR."""
_IPV6: Final = Path("/proc/net/if_inet6")


@cache
def own_addresses() -> frozenset[str]:
    """The IP addresses of this machine's interfaces, as far as it tells; looked up once."""
    return frozenset((*_ipv4(), *_ipv6()))


def is_unspecified(host: str) -> bool:
    """Whether a listener's host means every address."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _ipv4() -> list[str]:
    found = []
    with suppress(ImportError, OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        from fcntl import ioctl  # noqa: PLC0415 - not on every system

        for _, name in socket.if_nameindex():
            with suppress(OSError):  # an interface without an address
                answer = ioctl(sock.fileno(), _ADDRESS_OF, pack("256s", name.encode()[:15]))
                found.append(socket.inet_ntoa(answer[20:24]))
    return found


def _ipv6() -> list[str]:
    try:
        lines = _IPV6.read_text().splitlines()
    except OSError:
        return []
    return [str(IPv6Address(int(line.split()[0], 16))) for line in lines]
