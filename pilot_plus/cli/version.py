"""Version: which one this is."""

import importlib.metadata

import click


@click.command()
def version() -> None:
    """Print the version."""
    try:
        click.echo(importlib.metadata.version("pilot-plus"))
    except importlib.metadata.PackageNotFoundError:
        click.echo("0 (not installed)")
