"""Peers: `peer forget` takes out what a retired cluster has last said."""

import click

from pilot_plus.cli.client import Client, path_of, with_server


@click.group()
def peer() -> None:
    """Deal with the hubs of other clusters."""


@peer.command()
@click.argument("name")
@with_server
def forget(name: str, server: str, ca: str | None) -> None:
    """Take out what the cluster NAME has last said, here and wherever this hub passes it on. It was retired."""
    answer = Client(server, ca).send("POST", path_of("peers", name, "forget"))
    click.echo(f"{answer['instances']} instances of {name} taken out", err=True)
