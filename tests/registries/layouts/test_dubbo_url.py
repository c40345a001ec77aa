from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registries.layouts.dubbo_url import MAX_URL, DubboUrl, can_hold, decoded_url, encoded_url, parse_url, weight_of
from tests.registries.layouts.samples import addresses, texts, words

# As a real provider writes it: java.net.URLEncoder over URL.toFullString().
REAL = (
    "dubbo%3A%2F%2F10.1.0.7%3A20880%2Fcom.example.OrderService%3Fanyhost%3Dtrue%26application%3Dorders"
    "%26interface%3Dcom.example.OrderService%26methods%3Dfind%2Cplace%26note%3Da+b%26side%3Dprovider"
)


def test_a_real_node_name_is_read_in_its_parts():
    url = decoded_url(REAL)
    assert (url.protocol, url.host, url.port, url.path) == ("dubbo", "10.1.0.7", 20880, "com.example.OrderService")
    assert url.get("methods") == "find,place"
    assert url.get("note") == "a b"


def test_a_node_name_is_written_as_java_writes_it():
    assert encoded_url(decoded_url(REAL)) == REAL


def test_what_stands_behind_a_hash_and_who_logs_in_are_left_out():
    assert str(parse_url("dubbo://user:secret@h:1/x?a=b#c=d")) == "dubbo://h:1/x?a=b"


@pytest.mark.parametrize("text", ["dubbo://[2001:db8::1]:20880/a", "dubbo://2001:db8::1:20880/a"])
def test_an_ipv6_address_is_read_with_brackets_and_without(text: str):
    url = parse_url(text)
    assert (url.host, url.port) == ("2001:db8::1", 20880)


@pytest.mark.parametrize("text", ["", "no-url", "://h:1/x", "dubbo://h:x/y", "dubbo://h:123456/y", "a/b://h:1"])
def test_what_is_no_url_is_refused(text: str):
    with pytest.raises(ValueError, match=r"no URL|port"):
        parse_url(text)


def test_a_name_that_is_too_long_or_not_utf_8_is_refused():
    with pytest.raises(ValueError, match="more than"):
        decoded_url("a" * (MAX_URL + 1))
    with pytest.raises(ValueError, match="UTF-8"):
        decoded_url("dubbo%3A%2F%2Fh%3A1%2F%FF")


@pytest.mark.parametrize("text", ["-1", "1000001", "1.5", "", "٣", "1_0", "9" * 5000])
def test_a_weight_is_a_whole_number_within_bounds(text: str):
    with pytest.raises(ValueError, match="weight"):
        weight_of(text)


@given(st.text())
def test_any_text_is_a_url_or_a_value_error(text: str):
    for name in (text, quote(text, safe="", errors="replace"), f"dubbo://{text}"):
        try:
            decoded_url(name)
        except ValueError:
            continue


held = st.dictionaries(texts.filter(lambda name: can_hold(name, "")), texts.filter(lambda value: can_hold("x", value)))


@given(words, addresses, st.integers(0, 65535), words, held)
def test_a_url_survives_its_node_name(protocol: str, host: str, port: int, path: str, parameters: dict[str, str]):
    url = DubboUrl(protocol, host, port, path, parameters)
    assert (":" in host and not port) or decoded_url(encoded_url(url)) == url
