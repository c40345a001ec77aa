"""Explaining: `explain`, which says for every record of a service which way it came and what became of it."""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from pilot_plus.cli import columns
from pilot_plus.cli.client import Client, path_of, service_of, with_client
from pilot_plus.cli.output import Table, joined, print_answer, print_fields, title, with_form


@click.command()
@click.argument("service")
@click.option("--from", "from_", metavar="ZONE", help="Through the eyes of this zone; left out, in the catalog itself.")
@click.option("--as", "as_", type=click.Choice(["plain", "mesh", "grpc"]), help="What the viewer speaks.")
@with_form
@with_client
def explain(service: str, from_: str | None, as_: str | None, form: str | None, client: Client) -> None:
    """Say for every record of SERVICE (NAMESPACE/NAME) where it lies, which way it came, who sees it, and why."""
    path = path_of("services", *service_of(service), "explain")
    answer = client.get(path, from_=from_, as_=as_)
    print_answer(answer, form, lambda explained: _print(service, explained, form))


def _print(service: str, answer: Mapping[str, Any], form: str | None) -> None:
    _print_head(service, answer)
    if answer["instances"]:
        Table(columns.VERDICTS, form).print(answer["instances"])
    else:
        click.echo("it has no instance")
    for ways in _alike(answer["instances"]):
        _print_way(ways)
    if answer["proxies"]:
        title("Clients")
        Table(columns.SERVED, form).print(answer["proxies"])
    if answer["skipped"]:
        title("Skipped, and perhaps meant")
        print_fields((f"  {one['place']}", f"in {one['registry']}: {one['reason']}") for one in answer["skipped"])


def _print_head(asked: str, answer: Mapping[str, Any]) -> None:
    service = f"{answer['namespace']}/{answer['name']}"
    eyes = f"from {answer['from']} as {answer['as']}" if answer["from"] else "in the catalog"
    click.echo(f"{service} ({answer['host']}) {eyes}")
    if answer["aliases"]:
        here = f"; {asked} is one of its names" if asked != service else ""
        click.echo(f"also called {joined(answer['aliases'])}{here}")
    for condition in answer["conditions"]:
        click.echo(f"{click.style(condition['type'], fg='yellow')}: {condition['message']}")


def _alike(instances: Iterable[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    """The records that came the same way, together: they differ only in where they lie."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for one in instances:
        came = (f"{step['step']} {step['says']}" for step in one["steps"] if step["step"] != "record")
        groups.setdefault((one["registry"], one["layout"], *came), []).append(one)
    return groups.values()


def _print_way(records: list[dict[str, Any]]) -> None:
    first = records[0]
    more = f", and {len(records) - 1} more the same way" if len(records) > 1 else ""
    title(f"{first['id']}{more}")
    print_fields((f"  {step['step'].capitalize()}", step["says"]) for step in first["steps"])
