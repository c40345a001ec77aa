"""Logs: a line for each record on standard error."""

import logging
import sys


class _Lines(logging.Formatter):
    """What came from outside can't break a line, or move the cursor."""

    def format(self, record: logging.LogRecord) -> str:
        text, newline, traceback = (
            super().format(record).partition("\n")
            if record.exc_info
            else (
                super().format(record),
                "",
                "",
            )
        )
        return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text) + newline + traceback


def log_to_stderr(level: str) -> None:
    """Log from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
