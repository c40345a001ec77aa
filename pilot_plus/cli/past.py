"""The past: `history`."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from pilot_plus.cli import columns
from pilot_plus.cli.client import Client, path_of, service_of, with_client
from pilot_plus.cli.output import Column, Table, print_answer, with_form

_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TODAY: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(\.\d+)?)?")

TIMELINE: Final = (
    Column("TIME", lambda row: local_text(row["time"])),
    Column("REGISTRY", lambda row: row["registry"] or "-"),
    Column("WHAT", lambda row: row["text"]),
    Column("REVISION", lambda row: row["revision"], wide=True),
)


@click.command()
@click.argument("service")
@click.option("--at", metavar="TIME", help="How it was: 14:02 (the last one), 10m (ago), 2026-11-21T14:02:07Z.")
@click.option("--limit", type=click.IntRange(1, 10_000), help="How many changes and events, the newest.")
@with_form
@with_client
def history(service: str, at: str | None, limit: int | None, form: str | None, client: Client) -> None:
    """Show what happened to SERVICE (NAMESPACE/NAME), or how it was at a time."""
    path = path_of("services", *service_of(service), "history")
    time = moment_of(at, datetime.now().astimezone()) if at else None
    answer = client.get(path, at=time, limit=str(limit) if limit else None)
    print_answer(answer, form, lambda told: (_print_state if at else _print_timeline)(told, form))


def _print_timeline(answer: Mapping[str, Any], form: str | None) -> None:
    if answer["timeline"]:
        Table(TIMELINE, form).print(answer["timeline"])
    else:
        service = f"{answer['namespace']}/{answer['name']}"
        click.echo(f"nothing has happened to {service} since {local_text(answer['known_from'])}")


def _print_state(answer: Mapping[str, Any], form: str | None) -> None:
    service = f"{answer['namespace']}/{answer['name']}"
    passing = sum(instance["health"] == "passing" for instance in answer["instances"])
    click.echo(f"{service} at {local_text(answer['at'])}: {passing} of {len(answer['instances'])} passing")
    for condition in answer["conditions"]:
        click.echo(f"{click.style(condition['type'], fg='yellow')}: {condition['message']}")
    if answer["instances"]:
        named = {"namespace": answer["namespace"], "service": answer["name"]}
        Table(columns.INSTANCES, form).print([{**instance, **named} for instance in answer["instances"]])
    if answer["timeline"]:
        last = answer["timeline"][-1]
        click.echo(f"\nlast before: {local_text(last['time'])} {last['registry']}: {last['text']}")


def moment_of(text: str, now: datetime) -> str:
    """A time as people write it, as the API wants it: UTC, RFC 3339. Without an offset it is local time.

    Raises:
        click.BadParameter: not of a form that we know.
    """
    text = text.strip()
    if ago := _AGO.fullmatch(text):
        time = now - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
    elif today := _TODAY.fullmatch(text):
        micro = int(float(today[4] or 0) * 1e6)
        time = now.replace(hour=int(today[1]), minute=int(today[2]), second=int(today[3] or 0), microsecond=micro)
        time -= timedelta(days=time > now)
    else:
        try:
            given = datetime.fromtimestamp(float(text), UTC) if text.isdecimal() else datetime.fromisoformat(text)
            time = given if given.tzinfo else given.replace(tzinfo=now.tzinfo)
        except (ValueError, OverflowError, OSError) as error:
            raise click.BadParameter(
                f"--at: expected 14:02, 14:02:07, 10m (ago) or 2026-11-21T14:02:07Z, found {text[:60]!r}"
            ) from error
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def local_text(time: str) -> str:
    """A time of the API as people here read it: `14:02:07`, with the day where it is not today's."""
    then = datetime.fromisoformat(time).astimezone()
    is_today = then.date() == datetime.now().astimezone().date()
    return then.strftime("%H:%M:%S") if is_today else then.strftime("%Y-%m-%d %H:%M:%S")
