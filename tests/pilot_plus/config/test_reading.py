"""Reading a configuration: what is right is taken, what is wrong is named with its key, what was expected and found."""

import json
from typing import Any

import pytest

from pilot_plus.config import ConfigError, Duration, OnLoss, parse

OWN = {"name": "own", "kind": "database", "zone": "z"}


def said_of(**sections: Any) -> str:
    """What is wrong with a configuration, written as JSON."""
    with pytest.raises(ConfigError) as error:
        parse(json.dumps({"cluster": "east", "registries": [OWN], **sections}), {})
    return str(error.value)


def test_a_mapping_with_a_cluster_is_a_configuration_and_has_the_defaults_of_the_contract():
    config = parse('{"cluster": "east"}', {})
    assert (config.journal, config.mesh.domain, config.trust_domain) == (
        "sqlite:///pilot-plus.db",
        "mesh",
        "east.example",
    )
    assert (config.listen.http, config.listen.xds, config.edges.plain_ports) == ("127.0.0.1:7080", None, "20000-29999")
    (registry,) = parse(json.dumps({"cluster": "east", "registries": [OWN]}), {}).registries
    guard = registry.guard
    assert [guard.max_removal, float(guard.window), float(guard.hold_for), guard.min] == [0.5, 30.0, 600.0, 5]
    assert (registry.on_loss, registry.namespaces) == ("keep", ("*",))


def test_secrets_come_from_the_environment_and_from_files(tmp_path):
    (tmp_path / "secret").write_text("0123456789abcdef\n")
    tokens = [{"secret": "${env:TOKEN}", "roles": ["read"]}, {"secret": f"${{file:{tmp_path}/secret}}", "roles": []}]
    config = parse(json.dumps({"cluster": "east", "auth": {"tokens": tokens}}), {"TOKEN": "fedcba9876543210"})
    assert [token.secret for token in config.auth.tokens] == ["fedcba9876543210", "0123456789abcdef"]
    assert "the environment variable TOKEN is not set" in said_of(auth={"tokens": tokens})


def test_a_key_that_is_there_twice_is_an_error_and_not_whichever_came_last():
    for text in ("cluster: east\nzones: []\ncluster: west\n", '{"cluster": "east",\n "cluster": "west"}'):
        with pytest.raises(ConfigError, match=r"cluster: the key is there twice in one mapping \(line [23], column"):
            parse(text, {})
    merged = "base: &own {kind: database, zone: z}\n"
    with pytest.raises(ConfigError, match="base: unknown key"):
        parse(f"cluster: east\n{merged}registries: [{{<<: *own, name: own, zone: y}}]", {})


@pytest.mark.parametrize("text", ["a: &a [*a]", "&a {cluster: east, x: *a}", "[" * 10_000])
def test_what_holds_itself_or_has_no_end_is_an_error_and_no_crash(text: str):
    with pytest.raises(ConfigError):
        parse(text, {})


@pytest.mark.parametrize(
    ("sections", "part"),
    [
        ({"clustr": 1}, "clustr: unknown key; did you mean `cluster`?"),
        ({"cluster": "a b"}, "cluster: expected a name that matches"),
        ({"zones": [{"name": "z", "meshed": "yes"}]}, "zones[0].meshed: expected `bool`, got `str`, found 'yes'"),
        ({"zones": [{"name": "z", "reaches": ["y"]}]}, "zones[0].reaches: 'y' is not among `zones`"),
        ({"zones": [{"name": "y"}]}, "registries[0].zone: 'z' is not among `zones`"),
        ({"registries": [{**OWN, "on_loss": "drop"}]}, "registries[0].on_loss: expected keep, found 'drop'"),
        ({"registries": [OWN, OWN]}, "registries[1].name: 'own' is there twice"),
        ({"registries": [{**OWN, "guard": {"window": 30}}]}, "guard.window: expected a duration like"),
        (
            {"auth": {"tokens": [{"secret": "0123456789abcdef", "roles": ["admin"]}]}},
            "auth.tokens[0].roles[0]: expected read or register or operate, found 'admin'",
        ),
        ({"sync": [{"name": "r", "from": {}, "to": "own", "mode": "dry"}]}, "mode: expected apply or plan, found"),
        ({"edges": {"plain_ports": "5-1"}}, "edges.plain_ports: expected a range within 1-65535"),
        ({"edges": {"plain_ports": "1-70000"}}, "edges.plain_ports: expected a range within 1-65535"),
        ({"mesh": {"domain": "a b"}}, "mesh.domain: expected a DNS name in lower case"),
        ({"mesh": {"domain": ""}}, "mesh.domain: expected a DNS name in lower case"),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_what_was_expected_and_found(sections: Any, part: str):
    assert part in said_of(**sections)


def test_a_secret_that_is_wrong_is_not_shown():
    said = said_of(auth={"tokens": [{"secret": "hunter2", "roles": ["read"]}]})
    assert said.startswith("auth.tokens[0].secret: expected")
    assert "hunter2" not in said
    assert "hunter2" not in said_of(auth={"tokens": ["hunter2"]})


def test_loss_may_drain_and_drop():
    loss = {"drain_after": "10m", "drop_after": "1h"}
    (registry,) = parse(json.dumps({"cluster": "east", "registries": [{**OWN, "on_loss": loss}]}), {}).registries
    assert registry.on_loss == OnLoss(drain_after=Duration(600), drop_after=Duration(3600))
