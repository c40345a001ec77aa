"""Asking: `get` and `describe`."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import click

from pilot_plus.cli import columns
from pilot_plus.cli.client import Client, path_of, service_of, with_client
from pilot_plus.cli.main import Refusal
from pilot_plus.cli.output import Column, Table, age_text, joined, print_answer, print_fields, title, with_form
from pilot_plus.cli.proxy import print_proxy
from pilot_plus.cli.watching import WATCHED, follow

KINDS: Final[Mapping[str, tuple[Column, ...]]] = {
    "services": columns.SERVICES,
    "instances": columns.INSTANCES,
    "registries": columns.REGISTRIES,
    "zones": columns.ZONES,
    "edges": columns.EDGES,
    "peers": columns.PEERS,
    "sync": columns.SYNC,
    "proxies": columns.PROXIES,
}
_PAGED: Final = ("services", "instances")
_ONE: Final = {
    "service": "services",
    "registry": "registries",
    "zone": "zones",
    "edge": "edges",
    "peer": "peers",
    "proxy": "proxies",
}


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("service", required=False)
@with_form
@click.option("-w", "--watch", is_flag=True, help="Go on and print every change (services, instances, registries).")
@click.option("--namespace", help="Only services of this namespace.")
@click.option("--registry", help="Only what this registry holds a record of.")
@click.option("--zone", help="Only what has an endpoint in this zone.")
@click.option("-q", "q", metavar="TEXT", help="Only services whose name contains this.")
@click.option(
    "--health",
    type=click.Choice(["passing", "warning", "draining", "critical"]),
    help="Only what has an endpoint of this health.",
)
@click.option("--from", "from_", metavar="ZONE", help="Services as this zone sees them.")
@click.option("--as", "as_", type=click.Choice(["plain", "mesh", "grpc"]), help="What the viewer speaks.")
@with_client
def get(
    kind: str,
    service: str | None,
    form: str | None,
    watch: bool,
    client: Client,
    **filters: str | None,
) -> None:
    """List what there is of a kind. SERVICE (NAMESPACE/NAME) narrows services and instances."""
    if service:
        filters["namespace"], filters["name"] = service_of(service)
    asked = {name.rstrip("_"): value for name, value in filters.items() if value}
    _check_filters(kind, asked, watch=watch)
    if watch:
        follow(client, kind, form, asked)
        return
    path = path_of(kind)
    answer = client.pages(path, kind, **asked) if kind in _PAGED else client.get(path)
    if kind == "services" and form not in ("json", "yaml"):
        _mark_stale(client, answer["services"])
    print_answer(answer, form, lambda listed: Table(KINDS[kind], form).print(listed[kind]))


def _check_filters(kind: str, asked: Mapping[str, str], *, watch: bool) -> None:
    if asked and kind not in _PAGED:
        raise click.UsageError(f"{kind} have no filters, but found {', '.join(asked)}")
    if kind == "instances" and ("from" in asked or "as" in asked):
        raise click.UsageError("for the instances that a zone sees: pilot-plus describe service NAME --from ZONE")
    if watch and kind not in WATCHED:
        raise click.UsageError(f"{kind} can't be watched; {', '.join(WATCHED)} can")
    if watch and ("from" in asked or "as" in asked):
        raise click.UsageError("-w shows the catalog itself: leave out --from and --as")


def _mark_stale(client: Client, services: Iterable[dict[str, Any]]) -> None:
    """Note on each service which of its registries are not in step, and since when."""
    registries = client.get(path_of("registries"))["registries"]
    stale = {registry["name"]: registry["age_s"] for registry in registries if registry["state"] != "synced"}
    for service in services:
        service["stale_registries"] = stale


@click.command()
@click.argument("kind", type=click.Choice(list(_ONE)))
@click.argument("name")
@with_form
@click.option("--from", "from_", metavar="ZONE", help="A service as this zone sees it.")
@click.option("--as", "as_", type=click.Choice(["plain", "mesh", "grpc"]), help="What the viewer speaks.")
@with_client
def describe(kind: str, name: str, form: str | None, from_: str | None, as_: str | None, client: Client) -> None:
    """Show one service (NAMESPACE/NAME), registry, zone, edge, peer or proxy with everything that is known of it."""
    if (from_ or as_) and kind != "service":
        raise click.UsageError("--from and --as are for services")
    if kind == "service":
        answer = client.get(path_of("services", *service_of(name)), from_=from_, as_=as_)
        print_answer(answer, form, _print_service)
    elif kind == "registry":
        answer = client.get(path_of("registries", name))
        answer["skipped_records"] = client.get(path_of("registries", name, "skipped"))["skipped"]
        print_answer(answer, form, _print_registry)
    elif kind == "proxy":
        print_answer(client.get(path_of("proxies", name)), form, print_proxy)
    else:
        found = client.get(path_of(_ONE[kind]))[_ONE[kind]]
        one = next((row for row in found if row["name"] == name), None)
        if one is None:
            raise Refusal(f"there is no {kind} {name!r}")
        print_answer(one, form, lambda row: print_fields((head.capitalize(), row[head]) for head in row))


def _print_service(service: Mapping[str, Any]) -> None:
    print_fields(
        (
            ("Service", f"{service['namespace']}/{service['name']}"),
            ("Host", service["host"]),
            ("Also called", joined(service["aliases"]) if service["aliases"] else ""),
            ("Registries", joined(service["registries"])),
            ("Revision", service["revision"]),
        )
    )
    for condition in service["conditions"]:
        click.echo(f"{click.style(condition['type'], fg='yellow')}: {condition['message']}")
    for instance in service["instances"]:
        title(instance["id"])
        print_fields(_instance_fields(instance))


def _instance_fields(instance: Mapping[str, Any]) -> Iterable[tuple[str, object]]:
    origin = instance["origin"]
    yield "  Address", instance["address"]
    yield "  Ports", columns.ports_text(instance["ports"])
    yield "  Health", instance["health"]
    yield "  Weight", instance["weight"]
    yield "  Zone", instance["zone"]
    yield "  Locality", "/".join(part for part in instance["locality"].values() if part)
    yield "  Stale", "" if not instance["stale"] else columns.freshness(instance)
    yield "  Read from", f"{instance['registry']} {instance['key']} {instance['layout']}".rstrip()
    if origin["registry"] != instance["registry"] or origin["id"] != instance["key"]:
        yield "  Origin", f"{origin['cluster']}/{origin['registry']} {origin['id']}"
    yield "  Hops", ",".join(origin["hops"])
    yield "  Also in", ",".join(name for name in instance["registries"] if name != instance["registry"])
    if "priority" in instance:
        yield "  Priority", instance["priority"]
        yield "  Edge for", f"{instance['behind']} records" if instance["edge"] else ""
        yield "  SNI", ",".join(instance["sni"].values())
    for name, value in instance["metadata"].items():
        yield f"  {name}", value


def _print_registry(registry: Mapping[str, Any]) -> None:
    print_fields(
        (
            ("Registry", registry["name"]),
            ("Kind", registry["kind"]),
            ("Zone", registry["zone"]),
            ("State", registry["state"]),
            ("Heard", f"{age_text(registry['age_s'])} ago"),
            ("Error", registry["error"]),
            ("Services", registry["services"]),
            ("Instances", registry["instances"]),
        )
    )
    if registry["removals"]:
        title(f"Held ({registry['held']}); if that is right: pilot-plus release {registry['name']}")
        for held in registry["removals"]:
            service = f"{held['namespace']}/{held['name']}"
            click.echo(f"  {service} {held['id']}: {held['becomes']} in {age_text(held['for_s'])}")
    if registry["skipped"]:
        title(f"Skipped ({registry['skipped']})")
        print_fields((f"  {record['place']}", record["reason"]) for record in registry["skipped_records"])
