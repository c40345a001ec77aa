"""A proxy, described: what it wants, how far it has come, and what exactly it was sent."""

import json
from collections.abc import Mapping
from typing import Any

import click

from pilot_plus.cli.output import age_text, print_fields, title


def print_proxy(proxy: Mapping[str, Any]) -> None:
    """Print everything that is known of a client of xDS."""
    last = proxy["last_rejection"]
    print_fields(
        (
            ("Proxy", proxy["id"]),
            ("Kind", f"{proxy['kind']}, {proxy['form']}"),
            ("Zone", proxy["zone"]),
            ("Address", proxy["address"]),
            ("Identity", proxy["identity"] or "believed, for the connection is plaintext"),
            ("State", f"{proxy['state']} for {age_text(proxy['state_s'])}"),
            ("Connected", f"for {age_text(proxy['connected_s'])}"),
            ("Rejected", f"{last['type']} {last['resource']}, {age_text(last['age_s'])} ago" if last else ""),
            ("Because", last["reason"] if last else ""),
        )
    )
    for one in proxy["subscriptions"]:
        wanted = "everything" if one["everything"] else f"{one['names']} by name"
        waits = "" if one["waiting_s"] is None else f", not answered for {age_text(one['waiting_s'])}"
        title(f"{one['type']}: {wanted}, {one['accepted']} accepted, {one['rejected']} rejected{waits}")
        for resource in proxy["resources"]:
            if resource["type"] == one["type"]:
                _print_resource(resource)


def _print_resource(resource: Mapping[str, Any]) -> None:
    reason = f": {resource['reason']}" if resource["reason"] else ""
    click.echo(f"  {resource['name']} {resource['version']} {resource['state']}{reason}")
    if resource["content"] is not None:
        text = json.dumps(resource["content"], indent=2)
        click.echo("".join(f"    {line}\n" for line in text.splitlines()), nl=False)
