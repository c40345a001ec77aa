"""Bootstraps from the command line: they need no hub, print JSON, and say what is wrong before they print anything."""

import json

import pytest
from click.testing import CliRunner, Result

from pilot_plus.cli.bootstrap import bootstrap

HUB = ("--hub", "127.0.0.1:15010", "--zone", "vm")


def call(*words: str) -> Result:
    return CliRunner().invoke(bootstrap, words, catch_exceptions=False)


def test_an_envoy_says_what_was_asked_for_and_opens_nothing_else():
    words = ("--outbound", "127.0.0.1:15001", "--tcp", "legacy/redis=127.0.0.1:6379", "--id", "web-7")
    made = json.loads(call("envoy", *HUB, *words).stdout)
    assert made["node"]["id"] == "web-7"
    said = made["node"]["metadata"]["pilot-plus"]
    assert said["tcp"] == ["legacy/redis=127.0.0.1:6379"]
    assert "admin" not in made
    assert json.loads(call("envoy", *HUB, "--admin", "127.0.0.1:9901").stdout)["admin"]


def test_an_envoy_that_listens_nowhere_is_printed_with_a_word_about_it():
    got = call("envoy", *HUB)
    assert got.exit_code == 0
    assert json.loads(got.stdout)
    assert "--outbound" in got.stderr


def test_grpc_says_its_zone():
    made = json.loads(call("grpc", *HUB).stdout)
    assert made["node"]["metadata"]["pilot-plus"] == {"kind": "grpc", "zone": "vm"}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("envoy", "--zone", "vm"), "--hub"),
        (("envoy", "--hub", "nowhere", "--zone", "vm"), "HOST:PORT"),
        (("envoy", "--hub", "127.0.0.1:15010", "--zone", ""), "--zone"),
        (("envoy", *HUB, "--tcp", "redis=127.0.0.1:1"), "NAMESPACE/NAME=HOST:PORT"),
        (("envoy", *HUB, "--tcp", "a/redis=1"), "HOST:PORT"),
        (("envoy", *HUB, "--outbound", "name:1"), "IP address"),
        (("grpc", *HUB, "--token", "ppt1.a.b"), "--data"),
        (("grpc", *HUB, "--token", "nonsense", "--data", "/tmp/none"), "--token"),
    ],
)
def test_what_can_not_be_is_told_with_exit_code_2(words: tuple[str, ...], part: str):
    got = call(*words)
    assert got.exit_code == 2
    assert part in got.stderr
    assert got.stdout == ""
