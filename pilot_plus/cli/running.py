"""Running: `run` and `check`."""

import asyncio
import signal
from pathlib import Path

import click
import uvloop

from pilot_plus.cli.logs import log_to_stderr
from pilot_plus.cli.main import Refusal, Unusable
from pilot_plus.config import Config, ConfigError, load
from pilot_plus.hub import probe, refuse_what_cannot_run, what_is_not_there
from pilot_plus.hub import run as run_hub


@click.command()
@click.option("-c", "--config", "file", required=True, type=click.Path(path_type=Path), metavar="FILE")
@click.option("--insecure", is_flag=True, help="Listen off loopback without TLS and tokens: let everybody in.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option("--log-format", type=click.Choice(["text", "json"]), help="[default: text on a terminal, else json]")
def run(file: Path, insecure: bool, log_level: str, log_format: str | None) -> None:
    """Run the hub with a configuration file, until SIGTERM or Ctrl-C."""
    log_to_stderr(log_level, log_format)
    config = _loaded(file)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # one that comes before the hub listens to it must not end it
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_hub(config, insecure=insecure, load=lambda: load(file)))
    except ConfigError as error:
        raise Unusable(f"{file}: {error}") from error


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--insecure", is_flag=True, help="As `run --insecure` will have it.")
def check(file: Path, insecure: bool) -> None:
    """Check a configuration file, and try every connection."""
    config = _loaded(file)
    try:
        refuse_what_cannot_run(config, insecure=insecure)
    except ConfigError as error:
        raise Unusable(f"{file}: {error}") from error
    click.echo(f"{file}: the configuration is valid")
    for section in what_is_not_there(config):
        click.echo(f"{file}: {section}: this version does not carry it out yet", err=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(probe(config))
    for name, why_not in found.items():
        click.echo(f"{name}: {click.style(why_not, fg='red') if why_not else click.style('ok', fg='green')}")
    failed = [name for name, why_not in found.items() if why_not]
    if failed:
        raise Refusal(f"no connection to {', '.join(failed)}")


def _loaded(file: Path) -> Config:
    try:
        return load(file)
    except ConfigError as error:
        raise Unusable(str(error)) from error
