"""Output: tables for people, JSON and YAML for programs. Colour only on a terminal; nothing hostile reaches it."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

import click

Form: TypeAlias = Literal["table", "wide", "json", "yaml"]
A = TypeVar("A")
F = TypeVar("F", bound=Callable[..., object])


def with_form(command: F) -> F:
    """The option that chooses how to print."""
    return click.option(
        "-o", "form", type=click.Choice(["wide", "json", "yaml"]), help="More columns, or for programs."
    )(command)


class Column(NamedTuple):
    """A column: its head, what stands in it, and whether it needs `-o wide`."""

    head: str
    cell: Callable[[Mapping[str, Any]], object]
    wide: bool = False
    is_number: bool = False


_COLOURS: Final = {
    "passing": "green",
    "synced": "green",
    "ready": "green",
    "in_step": "green",
    "behind": "yellow",
    "held": "yellow",
    "warning": "yellow",
    "draining": "yellow",
    "never_synced": "yellow",
    "critical": "red",
    "lost": "red",
    "gone": "red",
}


def print_data(answer: object, form: str) -> None:
    """An answer for programs."""
    if form == "json":
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    import yaml  # noqa: PLC0415 - 30 ms that only this form needs

    click.echo(yaml.safe_dump(answer, sort_keys=False, allow_unicode=True), nl=False)


def print_answer(answer: A, form: str | None, show: Callable[[A], object]) -> None:
    """An answer: for programs as it is, for people by `show`."""
    if form in ("json", "yaml"):
        print_data(answer, form)
    else:
        show(answer)


class Table:
    """Rows under heads, aligned; more rows may follow later under the same heads."""

    def __init__(self, columns: Sequence[Column], form: str | None) -> None:
        """`form`: `wide` shows every column."""
        self._columns = [column for column in columns if form == "wide" or not column.wide]
        self._widths = [len(column.head) for column in self._columns]
        self._has_heads = False

    def print(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Print rows; the heads first, once."""
        cells = [[printable(str(column.cell(row))) for column in self._columns] for row in rows]
        for line in cells:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, line, strict=True)]
        if not self._has_heads:
            self._has_heads = True
            click.echo(self._aligned([column.head for column in self._columns], bold=True))
        for line in cells:
            click.echo(self._aligned(line))

    def _aligned(self, cells: Sequence[str], *, bold: bool = False) -> str:
        padded = []
        for cell, width, column in zip(cells, self._widths, self._columns, strict=True):
            space = " " * (width - len(cell))
            text = click.style(cell, bold=True) if bold else _coloured(cell)
            padded.append(space + text if column.is_number else text + space)
        return "   ".join(padded).rstrip()


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line; values that are empty are left out."""
    shown = [(name, printable(str(value))) for name, value in fields if value not in (None, "", (), [], {})]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{click.style((name + ':').ljust(width + 1), bold=True)}  {_coloured(value)}")


def title(text: str) -> None:
    """A head over what follows."""
    click.echo()
    click.echo(click.style(text, bold=True))


def age_text(seconds: float) -> str:
    """`3s`, `12m`, `2h5m`, `4d`: as short as people like it."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60}m" if whole % 3600 >= 60 else f"{whole // 3600}h"
    return f"{whole // 86400}d"


def joined(values: Iterable[object]) -> str:
    """Values with commas, or a dash for none."""
    return ",".join(str(value) for value in values) or "-"


def _coloured(text: str) -> str:
    colour = _COLOURS.get(text) or ("yellow" if text.startswith(("stale ", "held ")) else None)
    return click.style(text, fg=colour) if colour else text


def printable(text: str) -> str:
    """The text with what would move the cursor written out."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
