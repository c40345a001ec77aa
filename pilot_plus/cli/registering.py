"""Registering: `register`, `deregister`, `drain`, `weight`, and `release` for operators."""

import re
import time
from typing import Any, Final

import click

from pilot_plus.cli.client import Client, path_of, service_of, with_client
from pilot_plus.cli.duration import DURATION
from pilot_plus.cli.main import Refusal

_PORT: Final = re.compile(r"(?:(?P<name>[^:/]+):)?(?P<number>\d{1,5})(?:/(?P<protocol>[^/]+))?")


@click.command()
@click.argument("service")
@click.option("--address", required=True, help="IP address or host name.")
@click.option(
    "--port",
    "ports",
    multiple=True,
    required=True,
    metavar="[NAME:]NUMBER[/PROTOCOL]",
    help="May be given several times.",
)
@click.option("--id", "id_", help="What people call this copy  [default: ADDRESS:PORT]")
@click.option(
    "--ttl",
    type=DURATION,
    default="15s",
    show_default=True,
    help="How long it lives without a heartbeat: 1s to 24h.",
)
@click.option("--weight", type=click.IntRange(0, 1_000_000), default=100, show_default=True)
@click.option("--meta", multiple=True, metavar="NAME=VALUE", help="May be given several times.")
@click.option("--registry", help="Where it is written  [default: our own]")
@click.option("--layout", help="In which layout  [default: the registry's first]")
@click.option("--keep", is_flag=True, help="Send heartbeats until interrupted, then deregister.")
@with_client
def register(
    service: str,
    address: str,
    ports: tuple[str, ...],
    id_: str | None,
    ttl: str,
    weight: int,
    meta: tuple[str, ...],
    registry: str | None,
    layout: str | None,
    keep: bool,
    client: Client,
) -> None:
    """Register an instance of SERVICE (NAMESPACE/NAME)."""
    namespace, name = service_of(service)
    found = [_port_of(text) for text in ports]
    body = {
        "namespace": namespace,
        "name": name,
        "id": id_ or f"{address}:{found[0]['number']}",
        "address": address,
        "ports": found,
        "ttl": ttl,
        "weight": weight,
        "metadata": dict(_pair_of(text) for text in meta),
        **({"registry": registry} if registry else {}),
        **({"layout": layout} if layout else {}),
    }
    registered = client.send("POST", path_of("instances"), body)
    click.echo(f"{namespace}/{name} {registered['id']} registered in {registered['registry']} for {ttl}", err=True)
    click.echo(registered["id"])
    if keep:
        _keep(client, body, registered)


def _keep(client: Client, body: dict[str, Any], registered: dict[str, Any]) -> None:
    """Send heartbeats, whatever becomes of the hub meanwhile."""
    path = path_of("instances", registered["namespace"], registered["name"], registered["id"])
    try:
        while True:
            time.sleep(registered["ttl_s"] / 3)
            try:
                client.send("PUT", f"{path}/heartbeat")
            except Refusal as refused:
                _try_again(client, body, refused)
    except KeyboardInterrupt:
        client.send("DELETE", path, query={"registry": body.get("registry")})


def _try_again(client: Client, body: dict[str, Any], refused: Refusal) -> None:
    """Register again what the hub doesn't know any more; whatever else is wrong, the next heartbeat finds out."""
    if not refused.message.startswith("Not Found"):
        click.echo(f"{refused.message}; trying again", err=True)
        return
    try:
        client.send("POST", path_of("instances"), body)
    except Refusal as error:
        click.echo(f"{error.message}; trying again", err=True)
    else:
        click.echo("registered again", err=True)


@click.command()
@click.argument("service")
@click.argument("id_", metavar="ID")
@click.option("--registry", help="Where it was registered  [default: our own]")
@with_client
def deregister(service: str, id_: str, registry: str | None, client: Client) -> None:
    """Deregister the instance ID of SERVICE (NAMESPACE/NAME)."""
    client.send("DELETE", path_of("instances", *service_of(service), id_), query={"registry": registry})
    click.echo(f"{service} {id_} deregistered", err=True)


@click.command()
@click.argument("service")
@click.argument("id_", metavar="ID")
@click.option("--undo", is_flag=True, help="Take it back into use.")
@with_client
def drain(service: str, id_: str, undo: bool, client: Client) -> None:
    """Let no new callers to the instance ID of SERVICE (NAMESPACE/NAME)."""
    health = "passing" if undo else "draining"
    client.send("PATCH", path_of("instances", *service_of(service), id_), {"health": health})
    click.echo(f"{service} {id_} is {health}", err=True)


@click.command()
@click.argument("service")
@click.argument("id_", metavar="ID")
@click.argument("weight", type=click.IntRange(0, 1_000_000))
@with_client
def weight(service: str, id_: str, weight: int, client: Client) -> None:
    """Give the instance ID of SERVICE (NAMESPACE/NAME) a WEIGHT; 100 is an ordinary one."""
    client.send("PATCH", path_of("instances", *service_of(service), id_), {"weight": weight})
    click.echo(f"{service} {id_} weighs {weight}", err=True)


@click.command()
@click.argument("registry")
@with_client
def release(registry: str, client: Client) -> None:
    """Let the removals that the guard of REGISTRY holds happen."""
    answer = client.send("POST", path_of("registries", registry, "release"))
    click.echo(f"{answer['released']} released in {registry}", err=True)


def _port_of(text: str) -> dict[str, object]:
    found = _PORT.fullmatch(text)
    if not found or not 1 <= int(found["number"]) <= 65535:
        raise click.BadParameter(f"--port: expected [NAME:]NUMBER[/PROTOCOL], found {text!r}")
    protocol = found["protocol"] or found["name"] or "unknown"
    return {"name": found["name"] or "", "number": int(found["number"]), "protocol": protocol}


def _pair_of(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"--meta: expected NAME=VALUE, found {text!r}")
    return name, value
