"""What holds for every test: how deep property tests dig, and how several workers share them out.

`PILOT_PLUS_PROFILE=deep make test` digs for an evening.
"""

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("fast", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", parent=settings.get_profile("fast"), max_examples=5000)
settings.load_profile(os.environ.get("PILOT_PLUS_PROFILE", "fast"))

LONG: Final = ("tests/bench/", "tests/feature/", "tests/live/edges/", "tests/docs/", "tests/contract/", "tests/live/")
"""Tests of processes and servers, the longest first: at the end of a run nobody waits for one of them."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where workers share the tests: the long ones first, and on one worker what shares a server of its module."""
    if not hasattr(config, "workerinput"):
        return
    items.sort(key=lambda item: next((n for n, place in enumerate(LONG) if item.nodeid.startswith(place)), len(LONG)))
    for item in items:
        if group := _shared_in_module(item):
            item.add_marker(pytest.mark.xdist_group(group))


def _shared_in_module(item: pytest.Item) -> str:
    """A name for what a test shares with others of its module; empty where it shares nothing."""
    if not isinstance(item, pytest.Function):
        return ""
    shared = [name for name, made in item._fixtureinfo.name2fixturedefs.items() if made[-1].scope == "module"]
    chosen = item.callspec.params if hasattr(item, "callspec") else {}
    return f"{item.module.__name__}-{'-'.join(str(chosen.get(name, '')) for name in shared)}" if shared else ""
