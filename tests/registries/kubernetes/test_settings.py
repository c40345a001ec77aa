import msgspec
import pytest

from registries.kubernetes import Settings


def settings(**options: object) -> Settings:
    return msgspec.convert(options, Settings)


def test_a_selector_is_a_text_or_a_mapping():
    assert settings(selector="team in (a,b)").label_selector == "team in (a,b)"
    assert settings(selector={"team": "shop", "app": "x"}).label_selector == "app=x,team=shop"
    assert settings().label_selector == ""


def test_locks_are_where_it_is_said_or_where_we_surely_may():
    assert settings(kubeconfig="x", locks="ops").lock_namespace == "ops"
    assert settings(kubeconfig="x", namespaces=["shop", "pay"]).lock_namespace == "shop"
    assert settings(kubeconfig="x").lock_namespace == "default"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"namespaces": []}, "namespaces: expected names"),
        ({"namespaces": ["*", "shop"]}, "namespaces: expected either"),
        ({"namespaces": ["shop", "shop"]}, "namespaces: one stands there twice"),
        ({"namespaces": ["../kube-system"]}, "namespaces: .* is no name of a namespace"),
        ({"page_size": 0}, "page_size: expected 1 to 10000"),
        ({"context": "x"}, "set kubeconfig too"),
        ({"cluster": "no label"}, "cluster: .* can't be the value of a label"),
        ({"locks": "No"}, "locks: .* is no name of a namespace"),
        ({"allow": ["all"]}, "allow"),
        ({"kubeconfg": "x"}, "kubeconfg"),
    ],
)
def test_what_cannot_work_is_refused_with_the_name_of_the_key(options: dict[str, object], message: str):
    with pytest.raises(msgspec.ValidationError, match=message):
        settings(**options)
