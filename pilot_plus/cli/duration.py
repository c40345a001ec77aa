"""A duration on the command line: `15s`, `10m`, `1h`."""

from typing import Any, Final

import click

from pilot_plus.quantities import seconds_of


class _Duration(click.ParamType[str]):
    """Passed on as it was written; what is none is wrong usage, and asks no hub."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            seconds_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


DURATION: Final = _Duration()
