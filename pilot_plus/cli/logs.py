"""Logs: a line for each record on standard error, for people or as JSON."""

import datetime as dt
import json
import logging
import sys
from typing import Final

import click

_OWN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_COLOURS: Final = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}


def log_to_stderr(level: str, form: str | None = None) -> None:
    """Log from `level` on; `form` is `text` or `json`, and left out depends on whether somebody reads along."""
    handler = logging.StreamHandler(sys.stderr)
    is_json = form == "json" or (form is None and not sys.stderr.isatty())
    handler.setFormatter(JsonLines() if is_json else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("kazoo", "alembic", "asyncio", "uvicorn", "aiosqlite"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What a record carries beside its message (`extra`)."""
    return {name: value for name, value in record.__dict__.items() if name not in _OWN}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what the record carries besides."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """One line for people, and the traceback below it if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; what came from outside can't break it or move the cursor."""
        time = dt.datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        fields = "".join(f" {name}={value}" for name, value in fields_of(record).items())
        text = f"{time} {record.levelname.lower():7} {record.getMessage()}{fields}"
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        if sys.stderr.isatty() and (colour := _COLOURS.get(record.levelno)):
            text = click.style(text, fg=colour)
        return text + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")
