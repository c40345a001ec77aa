"""Syncing: `sync plan`, `status`, `approve`, `pause`, `resume` and `purge`."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import click

from pilot_plus.cli import columns
from pilot_plus.cli.client import Client, path_of, with_client
from pilot_plus.cli.main import Refusal
from pilot_plus.cli.output import Table, print_answer, printable, title, with_form

WORK_TO_DO: Final = 3
SIGNS: Final[Mapping[str, tuple[str, str | None]]] = {
    "create": ("+", "green"),
    "change": ("~", "yellow"),
    "remove": ("-", "red"),
    "wait": (".", None),
    "conflict": ("!", "red"),
    "refuse": ("x", "red"),
}
"""How each action is shown, and in which colour."""
SHOWN: Final = 10
"""Refusals and conflicts of a rule that `status` lists; `-o wide` lists all that the hub tells."""


@click.group()
def sync() -> None:
    """Show what sync would do, how it stands, and steer it."""


@sync.command()
@click.argument("rule", required=False)
@with_form
@with_client
@click.pass_context
def plan(context: click.Context, rule: str | None, form: str | None, client: Client) -> None:
    """Show what all rules, or RULE, would write, change and remove now, and why. Exit code 3: there is work to do."""
    answer = client.get(path_of("sync", "plan"), rule=rule)
    print_answer(answer, form, lambda planned: _print_plan(planned, is_wide=form == "wide"))
    if answer["creates"] or answer["changed"] or answer["removes"]:
        context.exit(WORK_TO_DO)


@sync.command()
@click.argument("rule", required=False)
@with_form
@with_client
def status(rule: str | None, form: str | None, client: Client) -> None:
    """Show how all rules, or RULE, stand in their targets: in step or not, and what is held, refused, in conflict."""
    answer = client.get(path_of("sync"))
    answer["sync"] = [one for one in answer["sync"] if rule in (None, one["name"])]
    if rule and not answer["sync"]:
        raise Refusal(f"there is no rule {rule!r}, and none has left copies")
    print_answer(answer, form, lambda rules: _print_status(rules, form))


@sync.command()
@click.argument("rule", required=False)
@with_client
def approve(rule: str | None, client: Client) -> None:
    """Let the removals go that the guard of RULE, or of any rule, holds."""
    answer = client.send("POST", path_of("sync", "approve"), query={"rule": rule})
    click.echo(f"{answer['approved']} removals approved", err=True)


@sync.command()
@click.argument("rule", required=False)
@with_client
def pause(rule: str | None, client: Client) -> None:
    """Change nothing of RULE, or of any rule, any more; leases are kept alive."""
    _steer("pause", "paused", rule, client)


@sync.command()
@click.argument("rule", required=False)
@with_client
def resume(rule: str | None, client: Client) -> None:
    """Go on with RULE, or with every rule, after `pause` or `purge`."""
    _steer("resume", "resumed", rule, client)


@sync.command()
@click.argument("rule", required=False)
@click.option("-y", "--yes", is_flag=True, help="Don't ask before every rule is purged.")
@with_client
def purge(rule: str | None, yes: bool, client: Client) -> None:
    """Take back everything that RULE, or any rule, ever wrote, without a guard; nothing is written until `resume`."""
    if rule is None and not yes and sys.stdin.isatty():
        click.confirm("Take back everything that any rule ever wrote, in every registry?", abort=True, err=True)
    _steer("purge", "purged", rule, client)


def _print_status(answer: Mapping[str, Any], form: str | None) -> None:
    """Print the rules, and below them what they don't write and why."""
    Table(columns.SYNC, form).print(answer["sync"])
    for one in answer["sync"]:
        for what in ("refused", "conflicts"):
            _print_left_out(f"{one['name']}: {what}", one[what], one[f"{what}_total"], is_wide=form == "wide")


def _print_left_out(head: str, listed: Sequence[Mapping[str, Any]], total: int, *, is_wide: bool) -> None:
    if not total:
        return
    title(f"{head} ({total})")
    shown = listed if is_wide else listed[:SHOWN]
    for one in shown:
        click.echo(printable(f"  {one['service']} {one['id']}: {one['why']}"))
    if total > len(shown):
        click.echo(f"  … and {total - len(shown)} more")


def _print_plan(answer: Mapping[str, Any], *, is_wide: bool) -> None:
    changes: Iterable[Mapping[str, Any]] = sorted(answer["changes"], key=lambda one: (one["rule"], one["target"]))
    for (rule, target), lines in groupby(changes, key=lambda one: (one["rule"], one["target"])):
        click.echo(click.style(printable(f"{rule} → {target}"), bold=True))
        for line in lines:
            _print_line(line, is_wide=is_wide)
        click.echo()
    click.echo(_sum_of(answer))
    if answer["held"]:
        click.echo(f"{answer['held']} of the removals are held by a guard; if they are right: pilot-plus sync approve")


def _print_line(line: Mapping[str, Any], *, is_wide: bool) -> None:
    sign, colour = SIGNS[line["action"]]
    where = (line["unit"], line["address"], line["id"] if is_wide or not line["address"] else "")
    text = printable("  ".join([part for part in where if part] + [line["why"]]))
    head = click.style(f"{sign} {line['action']:<8}", fg=colour)
    click.echo(f"  {head}  {text}")


def _sum_of(answer: Mapping[str, Any]) -> str:
    if not answer["changes"]:
        return "Nothing to do: everything is in step."
    parts = [f"{answer['creates']} to create", f"{answer['changed']} to change", f"{answer['removes']} to remove"]
    parts += [f"{answer[what]} {words}" for what, words in _BESIDE.items() if answer[what]]
    return f"Plan: {', '.join(parts)}."


_BESIDE: Final = {"waiting": "waiting", "conflicts": "in conflict", "refused": "refused"}


def _steer(verb: str, done: str, rule: str | None, client: Client) -> None:
    answer = client.send("POST", path_of("sync", verb), query={"rule": rule})
    click.echo(f"{done}: {', '.join(answer['rules']) or 'nothing, for there is no rule'}", err=True)
