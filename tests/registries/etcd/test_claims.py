from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Drop, Health, Instance, Port, Put, instance
from registries.etcd.claims import Claims
from registries.layouts.dubbo_rules import Override

INTERFACE = "com.example.OrderService"


def provider(key: str, weight: int = 100, interface: str = INTERFACE) -> Instance:
    ports = [Port("dubbo", 20880, "dubbo")]
    return instance(key=key, name=f"{interface}:1.0.0", id=key, address="10.1.0.7", ports=ports, weight=weight)


def test_a_new_weight_that_is_a_new_record_is_one_change():
    claims = Claims()
    claims.put("/a?weight=100", [provider("a")])
    assert claims.put("/a?weight=50", [provider("a", 50)]) == [Put(provider("a", 50))]
    assert claims.put("/a?weight=100", ()) == []
    assert claims.put("/a?weight=50", ()) == [Drop("a")]


def test_when_the_latest_record_goes_the_one_before_stands_again():
    claims = Claims()
    claims.put("/old", [provider("a")])
    claims.put("/new", [provider("a", 50)])
    assert claims.put("/new", ()) == [Put(provider("a"))]


def test_a_rule_changes_what_an_interface_is_seen_as_until_it_goes():
    claims = Claims()
    claims.put("/a", [provider("a")])
    claims.put("/b", [provider("b", interface="other")])
    (put,) = claims.put_rule("/rule", Override(INTERFACE, disabled=True))
    assert isinstance(put, Put)
    assert isinstance(put.record, Instance)
    assert put.record.health is Health.CRITICAL
    assert claims.put("/c", [provider("c")])[0] != Put(provider("c"))
    assert claims.put_rule("/rule", None) == [Put(provider("a")), Put(provider("c"))]
    assert claims.put_rule("/rule", None) == []


_PATHS = st.sampled_from(["/1", "/2", "/3"])
_SAID = st.lists(st.builds(provider, st.sampled_from("abc"), st.sampled_from([50, 100])), max_size=3)
_RULES = st.none() | st.builds(Override, st.just(INTERFACE), weight=st.sampled_from([1, 2]))


@given(st.lists(st.tuples(_PATHS, _SAID) | st.tuples(_PATHS, _RULES), max_size=20))
def test_updates_always_lead_to_what_stands(history: list[tuple[str, list[Instance] | Override | None]]):
    claims, mirror = Claims(), {}
    for path, said in history:
        updates = claims.put(path, said) if isinstance(said, list) else claims.put_rule(f"{path}-rule", said)
        for update in updates:
            if isinstance(update, Put):
                mirror[update.record.key] = update.record
            elif isinstance(update, Drop):
                del mirror[update.key]
    assert mirror == {one.key: one for one in claims.all()}
