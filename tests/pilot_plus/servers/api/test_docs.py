"""The page about HTTP names every route, and no other."""

import re
from pathlib import Path

from tests.pilot_plus.servers.api.hub import Hub

PAGE = Path(__file__).parents[4] / "docs" / "http.md"


def test_the_page_about_http_names_every_route_and_no_other():
    told = set(re.findall(r"^\| `(\w+) ([^`?]+)`", PAGE.read_text(), re.MULTILINE))
    assert told == {(route.method, route.path) for route in Hub().api.routes}
