"""The columns of each kind of thing."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pilot_plus.cli.output import Column, age_text, joined


def ports_text(ports: Sequence[Mapping[str, Any]]) -> str:
    """`http:8080/grpc`: the protocol where it is not the name."""
    return joined(
        f"{port['name']}:{port['number']}" + ("" if port["protocol"] == port["name"] else f"/{port['protocol']}")
        for port in ports
    )


def freshness(instance: Mapping[str, Any]) -> str:
    """What is stale, and how old."""
    if not instance["stale"]:
        return "-"
    return f"{'held' if instance['held'] else 'stale'} {age_text(instance['age_s'])}"


def _registries_text(row: Mapping[str, Any]) -> str:
    ages: Mapping[str, float] = row.get("stale_registries", {})
    return joined(f"{name} (stale {age_text(ages[name])})" if name in ages else name for name in row["registries"])


def _metadata_text(row: Mapping[str, Any]) -> str:
    return joined(f"{name}={value}" for name, value in row["metadata"].items())


def _behind_text(row: Mapping[str, Any]) -> str:
    return f"{row['behind']} for {age_text(row['behind_since_s'])}" if row["behind"] else "0"


def _rejected_text(row: Mapping[str, Any]) -> str:
    last = row["last_rejection"]
    return f"{last['type']} {last['resource']}: {last['reason']} ({age_text(last['age_s'])} ago)" if last else "-"


SERVICES: Final = (
    Column("NAMESPACE", lambda row: row["namespace"]),
    Column("NAME", lambda row: row["name"]),
    Column("PASSING", lambda row: f"{row['instances']['passing']}/{row['instances']['total']}", is_number=True),
    Column("ZONES", lambda row: joined(row["zones"])),
    Column("REGISTRIES", _registries_text),
    Column("CONDITIONS", lambda row: joined(condition["type"] for condition in row["conditions"])),
    Column("HOST", lambda row: row["host"], wide=True),
    Column("ALSO CALLED", lambda row: joined(row["aliases"]), wide=True),
)
INSTANCES: Final = (
    Column("SERVICE", lambda row: f"{row['namespace']}/{row['service']}"),
    Column("ID", lambda row: row["id"]),
    Column("ADDRESS", lambda row: row["address"]),
    Column("PORTS", lambda row: ports_text(row["ports"])),
    Column("HEALTH", lambda row: row["health"]),
    Column("WEIGHT", lambda row: row["weight"], is_number=True),
    Column("ZONE", lambda row: row["zone"]),
    Column("REGISTRIES", lambda row: joined(row["registries"])),
    Column("STALE", freshness),
    Column("LAYOUT", lambda row: row["layout"] or "-", wide=True),
    Column("KEY", lambda row: row["key"], wide=True),
    Column("METADATA", _metadata_text, wide=True),
)
REGISTRIES: Final = (
    Column("NAME", lambda row: row["name"]),
    Column("KIND", lambda row: row["kind"]),
    Column("ZONE", lambda row: row["zone"]),
    Column("STATE", lambda row: row["state"]),
    Column("HEARD", lambda row: f"{age_text(row['age_s'])} ago", is_number=True),
    Column("INSTANCES", lambda row: row["instances"], is_number=True),
    Column("SKIPPED", lambda row: row["skipped"], is_number=True),
    Column("HELD", lambda row: row["held"], is_number=True),
    Column("ERROR", lambda row: row["error"] or "-"),
)
ZONES: Final = (
    Column("NAME", lambda row: row["name"]),
    Column("MESHED", lambda row: "yes" if row["meshed"] else "no"),
    Column("REACHES", lambda row: joined(row["reaches"])),
    Column("REGISTRIES", lambda row: joined(row["registries"])),
    Column("SUBNETS", lambda row: joined(row["subnets"]), wide=True),
)
EDGES: Final = (
    Column("NAME", lambda row: row["name"]),
    Column("ZONE", lambda row: row["zone"]),
    Column("ADDRESS", lambda row: row["address"]),
    Column("STATE", lambda row: row["state"]),
    Column("MESH", lambda row: len(row["carries"]["mesh"]), wide=True, is_number=True),
    Column("PLAIN", lambda row: len(row["carries"]["plain"]), wide=True, is_number=True),
)
PEERS: Final = (
    Column("NAME", lambda row: row["name"]),
    Column("ADDRESS", lambda row: row["address"]),
    Column("STATE", lambda row: row["state"]),
    Column("HEARD", lambda row: f"{age_text(row['age_s'])} ago", is_number=True),
    Column("INSTANCES", lambda row: row["instances"], is_number=True),
    Column("HELD", lambda row: row["held"], is_number=True),
    Column("READS US", lambda row: "-" if row["reader"] is None else f"{row['reader']['lag']} behind"),
    Column("RECEIVED", lambda row: row["received_bytes"], wide=True, is_number=True),
    Column("SENT", lambda row: row["reader"]["bytes"] if row["reader"] else 0, wide=True, is_number=True),
    Column("ERROR", lambda row: row["error"] or row["alarm"] or "-"),
)
PROXIES: Final = (
    Column("ID", lambda row: row["id"]),
    Column("KIND", lambda row: row["kind"]),
    Column("ZONE", lambda row: row["zone"]),
    Column("STATE", lambda row: f"{row['state']} {age_text(row['state_s'])}"),
    Column("ACCEPTED", lambda row: joined(f"{one['type']}:{one['accepted']}" for one in row["subscriptions"])),
    Column("REJECTED", _rejected_text),
    Column("CONNECTED", lambda row: age_text(row["connected_s"]), is_number=True, wide=True),
    Column("ADDRESS", lambda row: row["address"], wide=True),
    Column("IDENTITY", lambda row: row["identity"] or "-", wide=True),
)
SERVED: Final = (
    Column("PROXY", lambda row: row["id"]),
    Column("TYPE", lambda row: row["type"]),
    Column("RESOURCE", lambda row: row["resource"]),
    Column("STATE", lambda row: row["state"]),
    Column("REASON", lambda row: row["reason"] or "-"),
)
SYNC: Final = (
    Column("RULE", lambda row: row["name"]),
    Column("TARGET", lambda row: row["target"]),
    Column("STATE", lambda row: row["state"]),
    Column("COPIES", lambda row: row["copies"], is_number=True),
    Column("BEHIND", _behind_text, is_number=True),
    Column("HELD", lambda row: row["held"], is_number=True),
    Column("WAITING", lambda row: row["waiting"], is_number=True),
    Column("REFUSED", lambda row: row["refused_total"], is_number=True),
    Column("CONFLICTS", lambda row: row["conflicts_total"], is_number=True),
    Column("ERROR", lambda row: row["error"] or "-"),
    Column("MODE", lambda row: row["mode"], wide=True),
    Column("WRITER", lambda row: row["owner"] or "-", wide=True),
)
VERDICTS: Final = (
    Column("ID", lambda row: row["id"]),
    Column("REGISTRY", lambda row: row["registry"]),
    Column("ZONE", lambda row: row["zone"]),
    Column("SEEN", lambda row: "yes" if row["seen"] else "no"),
    Column("AT", lambda row: joined(row["addresses"])),
    Column("WHY", lambda row: row["why"]),
    Column("LAYOUT", lambda row: row["layout"] or "-", wide=True),
    Column("KEY", lambda row: row["key"], wide=True),
)
