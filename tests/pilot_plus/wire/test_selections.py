"""Selections: which services cross, and under which names."""

import pytest

from pilot_plus.wire.selections import Selection, rule_of


def name_of(selections: list[Selection], service: str, *metadata: tuple[str, str]) -> str | None:
    rule = rule_of(selections, service)
    return rule.name_of(metadata) if rule else None


def test_what_no_selection_names_does_not_cross():
    assert name_of([], "shop/orders") is None
    assert name_of([Selection(services=("vm/*",))], "shop/orders") is None


def test_a_selection_lets_through_what_one_of_its_patterns_means():
    selections = [Selection(services=("vm/*", "shop/o*"))]
    assert name_of(selections, "shop/orders") == "shop/orders"
    assert name_of(selections, "shop/carts") is None


def test_denial_wins_wherever_it_stands():
    everything, secrets = Selection(services=("*/*",)), Selection(services=("*/secret*",), deny=True)
    for selections in ([everything, secrets], [secrets, everything]):
        assert name_of(selections, "shop/orders") == "shop/orders"
        assert name_of(selections, "shop/secrets") is None


def test_labels_choose_instances_and_deny_them():
    blue = (("colour", "blue"),)
    assert name_of([Selection(services=("*/*",), labels=blue)], "shop/orders") is None
    assert name_of([Selection(services=("*/*",), labels=blue)], "shop/orders", ("colour", "blue")) == "shop/orders"
    denied = [Selection(services=("*/*",)), Selection(services=("*/*",), labels=blue, deny=True)]
    assert name_of(denied, "shop/orders", ("colour", "blue")) is None
    assert name_of(denied, "shop/orders", ("colour", "red")) == "shop/orders"


@pytest.mark.parametrize(
    ("rename", "name"),
    [("theirs/{1}", "theirs/orders"), ("west-{1}", "shop/west-orders"), ("a/b", "a/b"), ("", "shop/orders")],
)
def test_a_name_there_is_made_from_what_the_stars_stand_for(rename: str, name: str):
    assert name_of([Selection(services=("shop/*",), rename=rename)], "shop/orders") == name


def test_the_first_selection_that_lets_an_instance_through_names_it():
    selections = [
        Selection(services=("shop/*",), labels=(("v", "2"),), rename="next/{1}"),
        Selection(services=("shop/*",)),
    ]
    assert name_of(selections, "shop/orders", ("v", "2")) == "next/orders"
    assert name_of(selections, "shop/orders", ("v", "1")) == "shop/orders"
