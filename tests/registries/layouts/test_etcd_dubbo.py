import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Health, Service
from registries.layouts.dubbo_rules import Override
from registries.layouts.dubbo_url import encoded_part
from registries.layouts.etcd_dubbo import EtcdDubbo
from registries.layouts.layout import Raw
from tests.registries.layouts.etcd_layouts import is_canonical, one, records_of

LAYOUT = EtcdDubbo()
INTERFACE = "com.example.OrderService"
URL = f"dubbo://10.1.0.7:20880/{INTERFACE}?interface={INTERFACE}&version=1.0.0&application=orders&weight=50"
FOLDER = f"/dubbo/{INTERFACE}/providers"
KEY = f"{FOLDER}/{encoded_part(URL)}"


def test_a_provider_is_its_key_and_the_value_says_nothing():
    said = one(LAYOUT, KEY, b"\xff7587862094")
    assert (said.name, said.id, said.weight, said.layout) == (f"{INTERFACE}:1.0.0", "10.1.0.7:20880", 50, "dubbo")
    assert said.health is Health.PASSING


def test_another_weight_is_another_record_of_the_same_key_and_its_sibling():
    other = KEY.replace("weight%3D50", "weight%3D70")
    assert one(LAYOUT, KEY, b"").key == one(LAYOUT, other, b"").key
    prefix = LAYOUT.prefix_of(one(LAYOUT, KEY, b"").key)
    assert KEY.startswith(prefix)
    assert other.startswith(prefix)
    assert not KEY.replace("20880", "20881").startswith(prefix)


def test_what_was_written_is_read_back():
    said = one(LAYOUT, KEY, b"")
    raw = LAYOUT.encode(said)
    assert raw.path.startswith(LAYOUT.prefix_of(said.key))
    assert one(LAYOUT, raw.path, raw.data) == said


def test_a_folder_is_a_service_and_a_configurator_a_rule():
    assert LAYOUT.decode(Raw(FOLDER)) == (Service(key=FOLDER, name=INTERFACE),)
    rule = encoded_part(f"override://0.0.0.0/{INTERFACE}?category=configurators&weight=7")
    raw = Raw(f"/dubbo/{INTERFACE}/configurators/{rule}")
    assert LAYOUT.decode(raw) == ()
    assert LAYOUT.rule(raw) == Override(INTERFACE, weight=7)
    assert LAYOUT.rule(Raw(f"/dubbo/{INTERFACE}/consumers/x")) is None


@pytest.mark.parametrize("root", ["dubbo", "/dubbo", "/dubbo/"])
def test_the_root_is_written_in_any_way(root: str):
    assert EtcdDubbo(root=root).root == "/dubbo/"


@given(records_of({}, "/dubbo/") | st.builds(lambda text: Raw(f"{FOLDER}/{encoded_part(text)}"), st.text()))
def test_no_record_can_do_more_than_be_refused(raw: Raw):
    assert is_canonical(LAYOUT, raw)
