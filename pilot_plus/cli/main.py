"""The commands by name; a command's module is loaded when it is called, so that asking starts quickly.

Exit codes: 0 done, 1 refused or not found, 2 usage or configuration, 3 a plan with work to do.
"""

import os
import sys
from importlib import import_module
from typing import Final, NamedTuple

import click


class Listed(NamedTuple):
    """A command that is not loaded yet."""

    module: str
    about: str


COMMANDS: Final[dict[str, Listed]] = {
    "run": Listed("running", "Run the hub with a configuration file."),
    "demo": Listed("demo", "Run a hub with sample services, and show what happens."),
    "check": Listed("running", "Check a configuration file, and try every connection."),
    "get": Listed("asking", "List services, instances, registries, zones, edges or sync rules."),
    "describe": Listed("asking", "Show one service, registry, zone or edge with everything that is known of it."),
    "explain": Listed("explaining", "Say for every record of a service which way it came, who sees it, and why."),
    "history": Listed("past", "Show what happened to a service, or how it was at a time."),
    "register": Listed("registering", "Register an instance."),
    "deregister": Listed("registering", "Deregister an instance."),
    "drain": Listed("registering", "Take an instance out of use, or back."),
    "weight": Listed("registering", "Give an instance another weight."),
    "release": Listed("registering", "Let the removals that a registry's guard holds happen."),
    "sync": Listed("syncing", "Show what sync would do, how it stands, and steer it."),
    "peer": Listed("peer", "Deal with the hubs of other clusters."),
    "token": Listed("token", "Make, list and take back the tokens with which edges and clients join."),
    "bootstrap": Listed("bootstrap", "Print what an Envoy or a proxyless gRPC client needs to begin."),
    "version": Listed("version", "Print the version."),
}


class Commands(click.Group):
    """Loads what is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them, in the order in which they are told."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        listed = COMMANDS.get(cmd_name)
        if listed is None:
            return None
        command: click.Command = getattr(import_module(f"pilot_plus.cli.{listed.module}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, listed.about) for name, listed in COMMANDS.items()])


class Refusal(click.ClickException):
    """Refused, not found, or nobody there: exit code 1."""

    exit_code = 1


class Unusable(click.ClickException):
    """The configuration can't be used: exit code 2."""

    exit_code = 2


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """One live catalog of every registry that a company has, and each caller's part of it."""


def main() -> None:
    """Run a command, and exit."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # a stranger's failed handshake is no line of our log
    try:
        sys.exit(cli(standalone_mode=False))  # what `Context.exit` was given, or nothing
    except click.ClickException as error:
        error.show(sys.stderr)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
