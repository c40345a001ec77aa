"""Logs: a line for each record."""

import json
import logging
import sys

from pilot_plus.cli.logs import JsonLines, TextLines


def record(message: str, **extra: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "levelname": "WARNING", "levelno": 30, "name": "x", **extra})


def test_a_record_is_one_json_object_with_what_it_carries():
    line = json.loads(JsonLines().format(record("source lost: a\nb", registry="zk", tries=3)))
    assert (line["level"], line["message"], line["registry"], line["tries"]) == (
        "warning",
        "source lost: a\nb",
        "zk",
        3,
    )
    assert line["time"].endswith("+00:00")


def test_a_traceback_is_in_the_object():
    try:
        raise ValueError("broken")
    except ValueError:
        line = json.loads(JsonLines().format(record("failed", exc_info=sys.exc_info())))
    assert "ValueError: broken" in line["error"]


def test_a_line_for_people_cannot_be_broken_by_what_came_from_outside():
    line = TextLines().format(record("skipped /x\n\x1b[2J", registry="zk"))
    assert "\n" not in line
    assert "skipped /x\\n\\x1b[2J registry=zk" in line
