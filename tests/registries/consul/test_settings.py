"""What a configuration may say of a Consul."""

import msgspec
import pytest

from registries.consul import Settings


def test_the_defaults_are_an_agent_on_this_machine_within_consuls_own_limit():
    settings = Settings()
    assert settings.url == "http://127.0.0.1:8500"
    assert settings.connections < 200
    assert settings.wait_s == 30
    assert settings.polls == settings.connections - 15


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"url": "127.0.0.1:8500"}, "url"),
        ({"url": "http://user:secret@127.0.0.1:8500"}, "url"),
        ({"url": "http://127.0.0.1:8500/v1"}, "url"),
        ({"url": "http://127.0.0.1:85000"}, "url"),
        ({"tls": {"ca": "ca.pem"}}, "tls"),
        ({"token": "a\nb"}, "token"),
        ({"connections": 3}, "connections"),
        ({"wait": "2m"}, "wait"),
        ({"wait": "soon"}, "wait"),
        ({"protocol": ""}, "protocol"),
        ({"tokn": "x"}, "tokn"),
    ],
)
def test_a_wrong_setting_names_its_key_and_no_secret(wrong: dict[str, object], key: str):
    with pytest.raises(ValueError, match=key) as refused:
        msgspec.convert(wrong, Settings)
    assert "secret" not in str(refused.value)


def test_the_token_is_never_shown():
    settings = Settings(token="very-secret")
    assert "very-secret" not in f"{settings!r} {settings}"
