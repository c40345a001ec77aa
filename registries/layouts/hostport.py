"""Host and port as records write them: `10.2.0.1:9000`, `[fd00::7]:9000`, `orders.example:9000`."""

from functools import lru_cache

from pilot_plus.model import UNKNOWN_PROTOCOL, Instance, Port, shared_ports


def split_host_port(text: str) -> tuple[str, int]:
    """Host (without brackets) and port number.

    Raises:
        ValueError: not of that form.
    """
    host, colon, number = text.rpartition(":")
    if not colon or not number.isascii() or not number.isdigit() or len(number) > 5:
        raise ValueError(f"{text[:100]!r} is no HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text[:100]!r} is no HOST:PORT: an IPv6 address stands in brackets")
    if not host:
        raise ValueError(f"{text[:100]!r} names no host")
    return host, int(number)


def join_host_port(host: str, port: int) -> str:
    """The reverse of `split_host_port`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@lru_cache(maxsize=4096)
def one_port(number: int, protocol: str) -> tuple[Port, ...]:
    """The ports of a record that has one, named after its protocol; equal ones are one object.

    Raises:
        ValueError: the number is outside 1..65535.
    """
    return shared_ports((Port("", number, protocol),))


def port_for(instance: Instance, protocols: frozenset[str]) -> Port:
    """The port to write in a layout that holds one: the first that its readers can speak.

    A port whose protocol nobody knows comes after those that are known to fit. No protocols: readers speak anything.

    Raises:
        ValueError: no port fits, or the instance has none.
    """
    fitting = [port for port in instance.ports if not protocols or port.protocol in protocols]
    fitting += [port for port in instance.ports if port.protocol == UNKNOWN_PROTOCOL]
    if not fitting:
        spoken = ", ".join(sorted({port.protocol for port in instance.ports})) or "nothing"
        raise ValueError(f"its readers speak {', '.join(sorted(protocols))}, and the instance speaks {spoken}")
    return fitting[0]
