"""The configurations in the documentation of sync and the horizon are ones that the hub takes."""

import re
from pathlib import Path

import pytest

from pilot_plus.config import parse
from pilot_plus.views.rules import rules_of
from pilot_plus.views.topology import topology_of

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("page", ["sync.md", "horizon.md"])
def test_every_configuration_in_the_page_is_valid(page: str):
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        config = parse(block, {})
        assert topology_of(config).zones
        assert len(rules_of(config)) == len(config.sync)
