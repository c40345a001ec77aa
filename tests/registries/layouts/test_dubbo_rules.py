import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Health, Instance, Port, instance
from registries.layouts.dubbo_rules import overridden, override_of
from registries.layouts.dubbo_url import parse_url


def provider(health: Health = Health.PASSING) -> Instance:
    return instance(
        key="k",
        name="a.B:1.0:blue",
        id="i",
        address="10.1.0.7",
        ports=[Port("dubbo", 20880, "dubbo")],
        health=health,
        metadata={"application": "orders"},
    )


def seen(*urls: str, health: Health = Health.PASSING) -> tuple[int, Health]:
    rules = [rule for url in urls if (rule := override_of(parse_url(url), "a.B"))]
    one = overridden(provider(health), rules)
    return one.weight, one.health


PASSING, CRITICAL, DRAINING = Health.PASSING, Health.CRITICAL, Health.DRAINING


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("override://0.0.0.0/a.B?category=configurators&dynamic=false&disabled=true", (100, CRITICAL)),
        ("override://0.0.0.0/a.B?weight=50", (50, PASSING)),
        ("override://0.0.0.0/a.B?weight=0", (0, DRAINING)),
        ("override://10.1.0.7/a.B?weight=50", (50, PASSING)),
        ("override://10.1.0.7:20880/a.B?weight=50", (50, PASSING)),
        ("override://10.1.0.7:20881/a.B?weight=50", (100, PASSING)),
        ("override://10.1.0.8/a.B?weight=50", (100, PASSING)),
        ("override://0.0.0.0/a.B?weight=50&version=1.0&group=blue", (50, PASSING)),
        ("override://0.0.0.0/a.B?weight=50&version=*", (50, PASSING)),
        ("override://0.0.0.0/a.B?weight=50&version=2.0", (100, PASSING)),
        ("override://0.0.0.0/a.B?weight=50&group=green", (100, PASSING)),
        ("override://0.0.0.0/a.B?weight=50&enabled=false", (100, PASSING)),
        ("override://0.0.0.0/a.B?weight=50&application=orders", (50, PASSING)),
        ("override://0.0.0.0/a.B?weight=50&application=web", (100, PASSING)),
        ("override://10.1.0.7/a.B?weight=50&side=consumer", (100, PASSING)),
        ("override://0.0.0.0/a.B?timeout=5000", (100, PASSING)),
        ("route://0.0.0.0/a.B?weight=50", (100, PASSING)),
    ],
)
def test_a_configurator_changes_whom_it_concerns(url: str, expected: tuple[int, Health]):
    assert seen(url) == expected


def test_the_special_rule_comes_after_the_general_one():
    general, special = "override://0.0.0.0/a.B?weight=10", "override://10.1.0.7/a.B?weight=20"
    assert seen(general, special) == seen(special, general) == (20, PASSING)


def test_the_higher_priority_comes_later():
    assert seen("override://0.0.0.0/a.B?weight=1&priority=9", "override://0.0.0.0/a.B?weight=2") == (1, PASSING)


def test_empty_takes_all_back():
    assert seen("override://0.0.0.0/a.B?weight=10", "empty://0.0.0.0/a.B?category=configurators") == (100, PASSING)


def test_a_disabled_provider_can_be_enabled():
    assert seen("override://0.0.0.0/a.B?disabled=false", health=CRITICAL) == (100, PASSING)


def test_a_new_weight_does_not_enable_a_disabled_provider():
    assert seen("override://0.0.0.0/a.B?weight=10", health=CRITICAL) == (10, CRITICAL)


def test_a_weight_that_is_none_is_refused():
    with pytest.raises(ValueError, match="weight"):
        override_of(parse_url("override://0.0.0.0/a.B?weight=lots"), "a.B")


@given(st.text(), st.dictionaries(st.sampled_from(["weight", "disabled", "priority", "version", "side"]), st.text()))
def test_any_url_is_a_rule_or_none_or_a_value_error(head: str, query: dict[str, str]):
    text = f"override://{head}/a.B?" + "&".join(f"{name}={value}" for name, value in query.items())
    try:
        rule = override_of(parse_url(text), "a.B")
    except ValueError:
        return
    if rule is not None:
        overridden(provider(), [rule])
