"""The page about commands names every command, and no other."""

import re
from pathlib import Path

from pilot_plus.cli.main import COMMANDS

PAGE = Path(__file__).parents[3] / "docs" / "commands.md"


def test_the_page_about_commands_names_every_command_and_no_other():
    named = re.findall(r"^\| `pilot-plus (\w+)", PAGE.read_text(), re.MULTILINE)
    assert list(dict.fromkeys(named)) == list(COMMANDS)
