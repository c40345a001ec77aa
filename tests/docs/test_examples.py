"""What every page shows is what the hub takes: each configuration, each command, each request."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from pilot_plus.cli.main import cli
from pilot_plus.config import Config, parse
from pilot_plus.hub import sources_of
from pilot_plus.views.rules import rules_of
from pilot_plus.views.topology import topology_of
from tests.docs.pages import PAGES, ROOT, blocks

SECRET = "a-secret-of-16-letters"
_COMMAND = re.compile(r"(?:^|^\$ |`|/)pilot-plus ([a-z].*?)(?:\s{2,}#.*|\s#\s.*)?$", re.MULTILINE)


def _names(pages: tuple[Path, ...]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def configured(text: str, kind: str) -> Config:
    """The configuration that a page shows, or the whole one around the part of it that it shows."""
    tree: dict[str, Any] = yaml.safe_load(text)
    if "layouts" in tree:
        settings = {"layouts": tree["layouts"], **({"hosts": "127.0.0.1:2181"} if kind == "zookeeper" else {})}
        tree = {"registries": [{"name": "shown", "kind": kind, "zone": "vm", "settings": settings}]}
    whole = json.dumps({"cluster": "east", **tree})
    return parse(re.sub(r"\$\{(env|file):[^}]+\}", SECRET, whole), {})


@pytest.mark.parametrize("name", _names(tuple(page for page in PAGES if blocks(page.read_text(), "yaml"))))
def test_every_configuration_is_taken_with_the_settings_of_its_registries(name: str):
    page = ROOT / name
    for block in blocks(page.read_text(), "yaml"):
        config = configured(block, page.stem)
        assert len(sources_of(config)) == len(config.registries)
        assert topology_of(config).cluster == config.cluster
        assert len(rules_of(config)) == len(config.sync)


def commands(text: str) -> Iterator[list[str]]:
    """Every command that stands in a block, without what the shell does with it."""
    for block in (*blocks(text), *blocks(text, "sh"), *blocks(text, "console")):
        for found in _COMMAND.findall(block):
            yield shlex.split(found.partition(" | ")[0].partition(" > ")[0].rstrip("&").replace("…", ""), comments=True)


@pytest.mark.parametrize("name", _names(tuple(page for page in PAGES if any(commands(page.read_text())))))
def test_every_command_is_one_with_options_that_it_has(name: str):
    for words in commands((ROOT / name).read_text()):
        command: click.Command = cli
        left = list(words)
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), left.pop(0))
            assert found is not None, f"{name}: {words}"
            command = found
        command.make_parser(click.Context(command)).parse_args(left)


@pytest.mark.parametrize("name", _names(tuple(page for page in PAGES if blocks(page.read_text(), "python"))))
def test_every_piece_of_python_can_be_compiled(name: str):
    for block in blocks((ROOT / name).read_text(), "python"):
        compile("async def shown():\n" + "".join(f"    {line}\n" for line in block.splitlines()), name, "exec")
