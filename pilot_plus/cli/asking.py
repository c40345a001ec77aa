"""Asking: `get` and `describe`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from pilot_plus.cli import columns
from pilot_plus.cli.client import Client, path_of, service_of, with_client
from pilot_plus.cli.kinds import KINDS, PAGED, KindName, narrowed
from pilot_plus.cli.main import Refusal
from pilot_plus.cli.output import Table, age_text, joined, print_answer, print_fields, title, with_form
from pilot_plus.cli.proxy import print_proxy
from pilot_plus.cli.watching import follow


@click.command()
@click.argument("kind", type=KindName())
@click.argument("name", required=False)
@with_form
@click.option("-w", "--watch", is_flag=True, help="Go on and print every change.")
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
    name: str | None,
    form: str | None,
    watch: bool,
    client: Client,
    **filters: str | None,
) -> None:
    """List what there is of a kind; NAME narrows it: NAMESPACE/NAME for services and instances."""
    if name and kind in PAGED:
        filters["namespace"], filters["name"] = service_of(name)
    else:
        filters["name"] = name
    asked = {name.rstrip("_"): value for name, value in filters.items() if value}
    _check_filters(kind, asked, watch=watch)
    if watch:
        follow(client, kind, form, asked)
        return
    path = path_of(kind)
    answer = client.pages(path, kind, **asked) if kind in PAGED else client.get(path)
    if kind not in PAGED:
        answer[kind] = narrowed(answer[kind], asked)
    if kind == "services" and form not in ("json", "yaml"):
        _mark_stale(client, answer["services"])
    print_answer(answer, form, lambda listed: Table(KINDS[kind].columns, form).print(listed[kind]))


def _check_filters(kind: str, asked: Mapping[str, str], *, watch: bool) -> None:
    if kind == "instances" and asked.keys() & {"from", "as"}:
        raise click.UsageError("for the instances that a zone sees: pilot-plus describe service NAME --from ZONE")
    if unfit := sorted(asked.keys() - KINDS[kind].filters):
        known = ", ".join(sorted(KINDS[kind].filters - {"name"}))
        raise click.UsageError(f"{kind} are not narrowed by {', '.join(unfit)}, but by NAME and {known}")
    if watch and asked.keys() & {"from", "as"}:
        raise click.UsageError("-w shows the catalog itself: leave out --from and --as")


def _mark_stale(client: Client, services: Iterable[dict[str, Any]]) -> None:
    """Note on each service which of its registries are not in step, and since when."""
    registries = client.get(path_of("registries"))["registries"]
    stale = {registry["name"]: registry["age_s"] for registry in registries if registry["state"] != "synced"}
    for service in services:
        service["stale_registries"] = stale


@click.command()
@click.argument("kind", type=KindName())
@click.argument("name")
@with_form
@click.option("--from", "from_", metavar="ZONE", help="A service as this zone sees it.")
@click.option("--as", "as_", type=click.Choice(["plain", "mesh", "grpc"]), help="What the viewer speaks.")
@with_client
def describe(kind: str, name: str, form: str | None, from_: str | None, as_: str | None, client: Client) -> None:
    """Show one thing of a kind with everything that is known of it.

    NAME is NAMESPACE/NAME for a service, and NAMESPACE/NAME/ID for an instance.
    """
    if (from_ or as_) and kind != "services":
        raise click.UsageError("--from and --as are for services")
    match kind:
        case "services":
            answer = client.get(path_of(kind, *service_of(name)), from_=from_, as_=as_)
            print_answer(answer, form, _print_service)
        case "instances":
            print_answer(_instance(client, name), form, lambda one: print_fields(_instance_fields(one)))
        case "registries":
            answer = client.get(path_of(kind, name))
            answer["skipped_records"] = client.get(path_of(kind, name, "skipped"))["skipped"]
            print_answer(answer, form, _print_registry)
        case "proxies":
            print_answer(client.get(path_of(kind, name)), form, print_proxy)
        case _:
            print_answer(_only(client.get(path_of(kind))[kind], kind, name), form, _print_row)


def _only(rows: Sequence[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    if not (found := narrowed(rows, {"name": name})):
        raise Refusal(f"there is no {KINDS[kind].one} {name!r}")
    return found[0]


def _instance(client: Client, name: str) -> dict[str, Any]:
    """An instance by the names of its service and of itself; each may hold slashes."""
    namespace, rest = service_of(name)
    near = f"{namespace}/{rest.partition('/')[0]}"
    for one in client.pages(path_of("instances"), "instances", namespace=namespace, q=near)["instances"]:
        if f"{one['service']}/{one['id']}" == rest:
            return {"id": one["id"], **one}
    raise Refusal(f"there is no instance {name!r}; it is called NAMESPACE/NAME/ID")


def _print_row(row: Mapping[str, Any]) -> None:
    print_fields((head.replace("_", " ").capitalize(), _plain(value)) for head, value in row.items())


def _plain(value: Any) -> object:
    """What a field holds, as people say it."""
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{name} {_plain(part)}" for name, part in value.items())
        case list():
            return "; ".join(str(_plain(part)) for part in value) if value else ""
    return value


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
    yield "  Service", f"{instance['namespace']}/{instance['service']}" if "service" in instance else ""
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
