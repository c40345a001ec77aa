"""The `edge-sidecar` command. Exit codes: 0 done, 1 refused, 2 usage."""

import asyncio
import ipaddress
import json
import signal
import sys
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from edge_sidecar.memory import be_frugal
from edge_sidecar.settings import Settings, address_towards, data_home, name_at
from pilot_plus.quantities import Address, seconds_of
from pilot_plus.wire.jointoken import JoinToken, parse_token


class Refusal(click.ClickException):
    """Refused: exit code 1."""

    exit_code = 1


class _AddressType(click.ParamType[Address]):
    name = "HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        try:
            return Address(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _IpType(click.ParamType[str]):
    name = "IP"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            found = ipaddress.ip_address(str(value))
        except ValueError:
            self.fail(f"expected an IP address, found {value!r}", param, ctx)
        if found.is_unspecified or found.is_multicast:
            self.fail(f"nobody can be reached at {found}", param, ctx)
        return str(found)


class _TokenType(click.ParamType[JoinToken]):
    name = "TOKEN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> JoinToken:
        if isinstance(value, JoinToken):
            return value
        try:
            return parse_token(str(value).strip())
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _DurationType(click.ParamType[float]):
    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return value if isinstance(value, float) else seconds_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


ADDRESS: Final = _AddressType()
IP: Final = _IpType()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """A gateway at the border of a zone: an agent around an Envoy, configured by its hub."""


@cli.command()
@click.option("--hub", type=ADDRESS, required=True, help="The hub's xDS address.")
@click.option("--zone", required=True, help="The zone that the edge stands at.")
@click.option("--token", type=_TokenType(), envvar="EDGE_SIDECAR_TOKEN", help="To join with, at the first start.")
@click.option("--address", type=IP, help="The only address to bind on; default: the one towards the hub.")
@click.option("--outside", type=IP, help="The address that callers from other zones dial, if it is another one.")
@click.option("--name", help="The edge's name; default: of host and address.")
@click.option("--data", type=click.Path(path_type=Path), help="The folder for key, certificates and configuration.")
@click.option("--service", metavar="NS/NAME", default="", help="Be the sidecar of one application of this service.")
@click.option(
    "--dial-out",
    type=ADDRESS,
    multiple=True,
    help="Edges to dial, where nobody can dial this one. Not carried out yet.",
)
@click.option("--drain-time", type=_DurationType(), default="5s", show_default=True, help="For connections to end.")
@click.option("--concurrency", type=click.IntRange(0, 256), default=0, help="Envoy's threads; default: one a core.")
@click.option("--log-level", default="info", type=click.Choice(["debug", "info", "warning", "error"]))
def run(
    hub: Address,
    zone: str,
    token: JoinToken | None,
    address: str | None,
    outside: str | None,
    name: str | None,
    data: Path | None,
    service: str,
    dial_out: tuple[Address, ...],
    drain_time: float,
    concurrency: int,
    log_level: str,
) -> None:
    """Join the hub, and run an Envoy until told to end. SIGHUP replaces the Envoy without losing a connection."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(0)
    )  # both until the agent hears them, and there is something to end
    be_frugal()
    from edge_sidecar import agent
    from edge_sidecar.envoy.program import NoEnvoy
    from edge_sidecar.logs import log_to_stderr
    from edge_sidecar.place import Busy
    from pilot_plus.wire.denied import Denied

    log_to_stderr(log_level)
    try:
        address = address or address_towards(hub)
        settings = Settings(
            hub=hub,
            zone=zone,
            token=token,
            address=address,
            outside=outside or "",
            name=name or name_at(address),
            data=(data or data_home() / address.replace(":", "-")).absolute(),
            service=service,
            dial_out=dial_out,
            drain_time=drain_time,
            concurrency=concurrency,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    try:
        asyncio.run(agent.run(settings))
    except (Denied, NoEnvoy, Busy, OSError) as error:
        raise Refusal(str(error)) from error


@cli.command()
@click.option("--data", type=click.Path(path_type=Path), help="The agent's folder; default: all agents' of this user.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def status(data: Path | None, output: str) -> None:
    """Say how the agents of this machine are, and what they carry."""
    from edge_sidecar.status import read_status

    folders = [data] if data else sorted(data_home().glob("*"))
    found = [status for status in map(read_status, folders) if status is not None]
    if not found:
        raise Refusal(f"no agent has ever worked in {data or data_home()}")
    if output == "json":
        click.echo(json.dumps([{"state": one.state, **msgspec.to_builtins(one)} for one in found], indent=2))
    else:
        for one in found:
            click.echo(f"{one.name}  zone {one.zone}  {one.address}  {one.state}")
            session = "" if "/svc/" in one.identity else "in session" if one.session else "no session"
            click.echo(f"  hub          {one.hub}  {session}".rstrip())
            click.echo(f"  identity     {one.identity}, until {one.certificate_expires}")
            click.echo(f"  Envoy        {one.envoy_version}, {one.envoy_restarts} restarts")
            if one.trouble:
                click.echo(f"  trouble      {one.trouble}")
            for name in one.carries:
                side, service, port = name.split("|")
                click.echo(f"  {side:<12} {service} {port}")
    if not any(one.pid for one in found):
        sys.exit(1)


def main() -> None:
    """Run a command, and exit."""
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show(sys.stderr)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
