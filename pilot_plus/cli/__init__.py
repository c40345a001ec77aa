"""The `pilot-plus` command."""

from pilot_plus.cli.main import main

__all__ = ["main"]
