"""Running: `run` and `check`."""

import asyncio
import signal
from pathlib import Path

import click
import uvloop

from pilot_plus.cli.logs import log_to_stderr
from pilot_plus.cli.main import Refusal, Unusable
from pilot_plus.config import Config, ConfigError, load
from pilot_plus.hub import probe, sources_of
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
def check(file: Path) -> None:
    """Check a configuration file, and try every connection."""
    config = _loaded(file)
    try:
        sources_of(config)
    except ConfigError as error:
        raise Unusable(f"{file}: {error}") from error
    click.echo(f"{file}: the configuration is valid")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(probe(config))
    for registry, is_fine, message in found:
        click.echo(f"{registry}: {click.style('ok', fg='green') if is_fine else click.style(message, fg='red')}")
    failed = [registry for registry, is_fine, _ in found if not is_fine]
    if failed:
        raise Refusal(f"no connection to {', '.join(failed)}")


def _loaded(file: Path) -> Config:
    try:
        return load(file)
    except ConfigError as error:
        raise Unusable(str(error)) from error
