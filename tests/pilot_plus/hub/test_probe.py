"""Probing: what a hub would not start with is refused before it is asked to."""

import json
from typing import Any

import pytest

from pilot_plus.config import ConfigError, parse
from pilot_plus.hub import refuse_what_cannot_run

ETCD = {"name": "etcd", "kind": "etcd", "zone": "z"}


@pytest.mark.parametrize(
    ("sections", "part"),
    [
        ({"journal": ""}, "journal: expected sqlite:///FILE or postgresql://USER@HOST/NAME"),
        ({"listen": {"tls": {"cert": "/none", "key": "/none"}}}, "listen.tls: /none and /none can't be used"),
        ({"listen": {"http": "0.0.0.0:7080"}}, "listen.tls: required where listen.http is not on loopback"),
        ({"registries": [{**ETCD, "kind": "mongo"}]}, "registries[0].kind: 'mongo' is unknown; known are consul,"),
        (
            {"registries": [{**ETCD, "settings": {"endpoint": []}}]},
            "settings: Object contains unknown field `endpoint`",
        ),
        (
            {"registries": [{**ETCD, "settings": {"endpoints": [], "layouts": ["naming"]}}]},
            "registries[0].settings.endpoints: at least one URL is expected, such as http://127.0.0.1:2379",
        ),
    ],
)
def test_a_hub_that_would_not_start_is_refused_with_the_key(sections: Any, part: str):
    with pytest.raises(ConfigError) as error:
        refuse_what_cannot_run(parse(json.dumps({"cluster": "east", **sections}), {}))
    assert part in str(error.value)


def test_what_would_be_open_to_everybody_is_fine_where_somebody_says_so():
    refuse_what_cannot_run(parse('{"cluster": "east", "listen": {"http": "0.0.0.0:7080"}}', {}), insecure=True)
