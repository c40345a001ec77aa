"""The demo: a hub on its embedded default, and services that come, change health and go."""

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
import httpx
import uvloop

from pilot_plus.cli.border import EXPORTS, SECTIONS, Border
from pilot_plus.cli.client import Event, parsed
from pilot_plus.cli.logs import log_to_stderr
from pilot_plus.cli.main import Refusal, Unusable
from pilot_plus.cli.output import printable
from pilot_plus.cli.play import Play
from pilot_plus.cli.watching import Known
from pilot_plus.config import Config, ConfigError, parse
from pilot_plus.hub import run as run_hub

PORT: Final = 7080
XDS_PORT: Final = 15010
START_WITHIN: Final = 30.0
"""Seconds."""

_CONFIG: Final = """
cluster: demo
journal: sqlite:///{folder}/demo.db
listen: {{http: "127.0.0.1:{port}", xds: "127.0.0.1:{xds}"}}
zones:
  - {{name: shop, meshed: true, reaches: [legacy]}}
  - {{name: legacy}}
  - {{name: plain}}
  - {{name: mesh, meshed: true}}
registries:
  - {{name: own, kind: database, zone: shop}}
{border}exports: [{{services: ["legacy/*"], from: [legacy], to: [shop]}}, {exports}]
"""


@click.command()
@click.option(
    "--registries",
    type=click.Choice(["own", "all"]),
    default="own",
    show_default=True,
    help="`all`: with a real ZooKeeper, Consul and etcd (`make servers` brings them).",
)
@click.option("--for", "seconds", type=click.FloatRange(min=0), help="End by itself after so many seconds.")
def demo(registries: str, seconds: float | None) -> None:
    """Run a hub with sample services that come, change health and go, and show the catalog change."""
    log_to_stderr("warning")
    try:
        with TemporaryDirectory(prefix="pilot-plus-demo-") as folder, _company(registries) as sections:
            border = SECTIONS.format(folder=folder)
            ports = {"port": _free_port(PORT), "xds": _free_port(XDS_PORT)}
            text = _CONFIG.format(folder=folder, border=border, exports=EXPORTS, **ports)
            text = text.replace("exports:", f"{sections}exports:")
            config = parse(text)
            (Path(folder) / "demo.yaml").write_text(text)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_show(config, Path(folder), seconds))
    except ExceptionGroup as group:
        if (refused := group.subgroup(ConfigError)) is None:
            raise
        raise Unusable(str(refused.exceptions[0])) from group
    except KeyboardInterrupt:
        pass
    click.echo("\nthe demo is over; nothing of it is left")


@contextmanager
def _company(registries: str) -> Iterator[str]:
    """The registries of a company beside our own, as lines of the configuration."""
    if registries != "all":
        yield ""
        return
    from devservers.cache import MissingServer  # noqa: PLC0415 - real servers are for `--registries all` only - only this form of the demo needs them
    from pilot_plus.cli.company import company  # noqa: PLC0415 - real servers are for `--registries all` only

    try:
        with company() as sections:
            yield sections
    except MissingServer as error:
        raise Refusal(str(error)) from error


def _free_port(usual: int) -> int:
    """The usual port, or any other if somebody is there."""
    for port in (usual, 0):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = sock.getsockname()[1]
            return found
    raise Refusal("no free port on 127.0.0.1")


async def _show(config: Config, folder: Path, seconds: float | None) -> None:
    """Run the hub, play, and print what a watcher sees, until the hub ends (Ctrl-C) or the time is over."""
    address = f"http://{config.listen.http}"
    async with (
        httpx.AsyncClient(base_url=address, timeout=httpx.Timeout(10, read=None)) as client,
        asyncio.TaskGroup() as tasks,
    ):
        hub = tasks.create_task(run_hub(config), name="hub")
        await _until_ready(client, hub)
        _say_what_to_try(address, config)
        acts = [
            tasks.create_task(_until_gone(_print_changes(client)), name="watch"),
            tasks.create_task(_until_gone(Play(client).run()), name="play"),
        ]
        if config.listen.xds is not None:
            border = Border(client, config.listen.xds, folder)
            acts.append(tasks.create_task(_until_gone(border.run()), name="border"))
        await asyncio.wait([hub], timeout=seconds)
        for task in acts:
            task.cancel()
        await asyncio.wait(acts)  # edges leave while there is a hub
        hub.cancel()


async def _until_gone(act: Coroutine[None, None, None]) -> None:
    """An act that ends with the hub: then nobody answers any more, or only that it can't."""
    with suppress(httpx.HTTPError):
        await act


async def _until_ready(client: httpx.AsyncClient, hub: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(START_WITHIN):
        while not hub.done():
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


def _say_what_to_try(address: str, config: Config) -> None:
    usual = address == f"http://127.0.0.1:{PORT}"
    names = ", ".join(f"{registry.name} ({registry.kind})" for registry in config.registries)
    click.echo(click.style(f"Pilot Plus listens at {address}, with the registries {names}.", bold=True))
    click.echo("Services come, change health and go below. Meanwhile, in another terminal, try:\n")
    for line in (
        "pilot-plus get services",
        "pilot-plus get instances -w",
        "pilot-plus describe service shop/orders",
        "pilot-plus history shop/orders",
        "pilot-plus explain shop/orders --from legacy",
        "pilot-plus get edges",
        "pilot-plus register shop/mine --address 10.0.0.1 --port http:8080 --keep",
        f"curl -N '{address}/api/v1/watch?namespace=shop'",
    ):
        click.echo(f"  {line}" + ("" if usual or line.startswith("curl") else f" --server {address}"))
    click.echo("\nCtrl-C ends it.\n")


async def _print_changes(client: httpx.AsyncClient) -> None:
    """What a watcher sees, a line for each instance that is new, changed or gone."""
    known = Known("instances", {})
    async for event in _events(client):
        for row in known.rows(event):
            state = row["health"] + (f", weight {row['weight']}" if row["weight"] != 100 else "")
            mark = {"new": ("+", "green"), "gone": ("-", "red")}.get(row["change"], ("~", "yellow"))
            line = f"{mark[0]} {row['namespace']}/{row['service']}  {row['id']}  {row['address']}  {state}"
            click.echo(
                f"{datetime.now():%H:%M:%S} " + click.style(printable(f"{line}  ({row['registry']})"), fg=mark[1])
            )


async def _events(client: httpx.AsyncClient) -> AsyncIterator[Event]:
    """The hub's events, for as long as it runs."""
    async with client.stream("GET", "/api/v1/watch") as response:
        block: list[bytes] = []
        async for line in response.aiter_lines():
            block.append(line.encode())
            if not line:
                for _, event in parsed(block):
                    yield event
                block = []
