"""Peers: `peer token` and `peer join` let two hubs meet; `peer forget` takes a retired one out."""

import sys

import click

from pilot_plus.cli.client import Client, path_of, with_client
from pilot_plus.cli.duration import DURATION


@click.group()
def peer() -> None:
    """Deal with the hubs of other clusters."""


@peer.command()
@click.argument("name")
@click.option("--ttl", type=DURATION, default="1h", show_default=True, help="How long it may be used.")
@with_client
def token(name: str, ttl: str, client: Client) -> None:
    """Make a token for the hub of the cluster NAME, good once, and print it: for `peer join` there."""
    click.echo(client.send("POST", path_of("peers", name, "token"), {"ttl": ttl})["token"])


@peer.command()
@click.argument("name")
@click.argument("text", metavar="TOKEN")
@with_client
def join(name: str, text: str, client: Client) -> None:
    """Introduce this hub to that of the cluster NAME, with the TOKEN that was made there (-: read from input)."""
    if text == "-":
        text = sys.stdin.read().strip()
    client.send("POST", path_of("peers", name, "join"), {"token": text})
    click.echo(f"this hub and that of {name} know each other", err=True)


@peer.command()
@click.argument("name")
@with_client
def forget(name: str, client: Client) -> None:
    """Take out what the cluster NAME has last said, here and wherever this hub passes it on. It was retired."""
    answer = client.send("POST", path_of("peers", name, "forget"))
    click.echo(f"{answer['instances']} instances of {name} taken out", err=True)
