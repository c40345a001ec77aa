"""Bootstrap: what a client needs to begin: `bootstrap envoy`, `bootstrap grpc`. Works without a hub's API."""

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from pilot_plus.cli.main import Refusal
from pilot_plus.model import Role, Speaks, SpiffeId, Viewer
from pilot_plus.quantities import Address
from pilot_plus.views.xds.bootstrap import Wanted, envoy_bootstrap, envoy_files, grpc_bootstrap
from pilot_plus.views.xds.profile import Kind, Profile
from pilot_plus.wire.certificates import utc_now
from pilot_plus.wire.denied import Denied
from pilot_plus.wire.folder import Folder
from pilot_plus.wire.joining import obtain, renew
from pilot_plus.wire.jointoken import parse_token
from pilot_plus.wire.trust import Held

F = TypeVar("F", bound=Callable[..., object])


def _address(_: click.Context, parameter: click.Parameter, text: str | None) -> Address | None:
    try:
        return None if text is None else Address(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from error


def _with_client(command: F) -> F:
    """The options that every client has."""
    for option in (
        click.option(
            "--data", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Its data folder."
        ),
        click.option("--token", metavar="TOKEN", help="Join with this, and keep key and certificate in --data."),
        click.option("--id", "id_", metavar="ID", help="Its name  [default: from the host, or as in --data]"),
        click.option("--zone", required=True, metavar="ZONE", help="The zone that it lies in."),
        click.option("--hub", required=True, callback=_address, metavar="HOST:PORT", help="The hub's xDS address."),
    ):
        command = option(command)
    return command


@click.group()
def bootstrap() -> None:
    """Print what an Envoy or a proxyless gRPC client needs to begin. Everything else comes from the hub."""


@bootstrap.command()
@_with_client
@click.option(
    "--outbound",
    callback=_address,
    metavar="HOST:PORT",
    help="Where it takes HTTP and gRPC for every service, told by their host.",
)
@click.option(
    "--tcp",
    multiple=True,
    metavar="NS/NAME=HOST:PORT",
    help="Where it takes TCP for one service; NS/NAME#PORTNAME chooses a port. May be repeated.",
)
@click.option(
    "--admin", callback=_address, metavar="HOST:PORT", help="Where its admin port listens  [default: there is none]"
)
def envoy(
    hub: Address,
    zone: str,
    id_: str | None,
    token: str | None,
    data: Path | None,
    outbound: Address | None,
    tcp: tuple[str, ...],
    admin: Address | None,
) -> None:
    """Print the bootstrap of an Envoy: `envoy -c FILE`."""
    listeners = tuple(sorted(_listener(text) for text in tcp))
    if not (outbound or listeners):
        click.echo("this Envoy listens nowhere: say --outbound HOST:PORT, --tcp NS/NAME=HOST:PORT, or both", err=True)
    given: dict[str, Any] = {"outbound": str(outbound or ""), "tcp": listeners}
    wanted = _wanted(hub, zone, id_, token, data, Kind.ENVOY, given, admin)
    for name, content in envoy_files(wanted).items():
        place = Path(wanted.profile.data) / name
        place.write_text(json.dumps(content, indent=2))
    _print(envoy_bootstrap(wanted))


@bootstrap.command()
@_with_client
def grpc(hub: Address, zone: str, id_: str | None, token: str | None, data: Path | None) -> None:
    """Print the bootstrap of a proxyless gRPC client: for the file that GRPC_XDS_BOOTSTRAP names."""
    _print(grpc_bootstrap(_wanted(hub, zone, id_, token, data, Kind.GRPC, {}, None)))


def _wanted(
    hub: Address,
    zone: str,
    id_: str | None,
    token: str | None,
    data: Path | None,
    kind: Kind,
    given: Mapping[str, Any],
    admin: Address | None,
) -> Wanted:
    if token and data is None:
        raise click.UsageError("--token needs --data DIR: key and certificate are kept there")
    if not zone.rpartition("/")[2]:
        raise click.BadParameter("expected the name of a zone", param_hint="--zone")
    name = id_ or f"{socket.gethostname()}-{kind}"
    held = _held(hub, token, id_, name, data) if data is not None else None
    if held is not None:
        _check(held.identity, zone, data)
    speaks = Speaks.GRPC if kind is Kind.GRPC else Speaks.MESH
    viewer = Viewer(zone, speaks, certified=held is not None)
    try:
        profile = Profile(kind=kind, viewer=viewer, data=str(data.resolve()) if data and held else "", **given)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    is_secure = held is not None and held.secure
    return Wanted(
        hub=hub,
        id=held.identity.name if held else name,
        profile=profile,
        admin=admin,
        trust_domain=held.identity.trust_domain if held and is_secure else "",
        hub_name=held.trust.hub_name if held and is_secure else "",
    )


def _check(identity: SpiffeId, zone: str, data: Path | None) -> None:
    """Refuse an identity with which the hub would give this client nothing."""
    if identity.zone != zone.rpartition("/")[2]:
        raise Refusal(
            f"{data} holds the identity {identity}, which is not in the zone {zone}: say --zone {identity.zone}"
        )
    if identity.role is Role.EDGE:
        raise Refusal(
            f"{data} holds the identity {identity}, which is an edge's: "
            "join with a token that was made without --edge, into another folder"
        )


def _held(hub: Address, token: str | None, id_: str | None, name: str, data: Path) -> Held:
    """The identity in the data folder, renewed if that is due, or a new one for the token."""
    folder = Folder(data)

    async def got() -> Held:
        expected = id_ or ("" if folder.held() else name)
        held = await obtain(hub, parse_token(token) if token else None, expected, folder)
        return await renew(hub, held, folder) if utc_now() >= held.renew_at() else held

    try:
        return asyncio.run(got())
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--token") from error
    except (Denied, OSError) as error:
        raise Refusal(str(error)) from error


def _listener(text: str) -> tuple[str, str]:
    service, equals, address = text.rpartition("=")
    namespace, _, name = service.partition("/")
    try:
        if not (equals and namespace and name):
            raise ValueError(f"expected NAMESPACE/NAME=HOST:PORT, found {text!r}")
        return service, str(Address(address))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--tcp") from error


def _print(made: Mapping[str, Any]) -> None:
    click.echo(json.dumps(made, indent=2))
