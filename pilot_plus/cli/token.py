"""Tokens: `token create` prints one with which an edge, a service or a client joins; `token list`, `token revoke`."""

import click

from pilot_plus.cli.client import Client, path_of, with_client
from pilot_plus.cli.duration import DURATION
from pilot_plus.cli.output import Column, Table, print_answer, with_form


@click.group()
def token() -> None:
    """Make, list and take back the tokens with which edges and clients join."""


@token.command()
@click.option("--zone", required=True, metavar="ZONE", help="The zone of whoever joins.")
@click.option("--edge", is_flag=True, help="For an edge sidecar.")
@click.option("--service", default="", metavar="NS/NAME", help="For a sidecar beside a copy of this service.")
@click.option("--name", default="", help="The only name, or client's id, that may be asked for  [default: any]")
@click.option("--ttl", type=DURATION, default="1h", show_default=True, help="How long it may be used.")
@click.option("--uses", type=click.IntRange(0), default=1, show_default=True, help="How often; 0: no limit but --ttl.")
@with_client
def create(zone: str, edge: bool, service: str, name: str, ttl: str, uses: int, client: Client) -> None:
    """Make a join token, and print it. It is shown this once: the hub keeps only its hash."""
    if edge and service:
        raise click.UsageError("--edge or --service, not both")
    body = {"zone": zone, "edge": edge, "service": service, "name": name, "ttl": ttl, "uses": uses}
    click.echo(client.send("POST", path_of("tokens"), body)["token"])


COLUMNS = (
    Column("ID", lambda one: one["id"]),
    Column("ZONE", lambda one: one["zone"]),
    Column("FOR", lambda one: _purpose(one["edge"], one["service"], one["name"])),
    Column("USED", lambda one: f"{one['used']} of {one['uses'] or 'any'}"),
    Column("EXPIRES", lambda one: one["expires"]),
    Column("CREATED", lambda one: one["created"], wide=True),
)


@token.command("list")
@with_form
@with_client
def list_(form: str | None, client: Client) -> None:
    """List the tokens: what each is for, and how often it was used. A day after its end one is forgotten."""
    answer = client.get(path_of("tokens"))
    print_answer(answer, form, lambda listed: Table(COLUMNS, form).print(listed["tokens"]))


@token.command()
@click.argument("token_id", metavar="ID")
@with_client
def revoke(token_id: str, client: Client) -> None:
    """Let nobody join with a token any more. Whoever has joined with it stays."""
    client.send("DELETE", path_of("tokens", token_id))


def _purpose(edge: bool, service: str, name: str) -> str:
    what = "edge" if edge else f"service {service}" if service else "client"
    return f"{what} {name}".rstrip()
