import msgspec
import pytest

from registries.layouts.dubbo import Dubbo
from registries.zookeeper import Settings


def settings(**fields: object) -> Settings:
    return msgspec.convert({"hosts": "127.0.0.1:2181", "layouts": ["dubbo"]} | fields, Settings)


def test_layouts_stand_there_by_name_or_with_options():
    found = settings(layouts=["curator", {"dubbo": {"root": "/company"}}, "dubbo"]).tree_layouts()
    assert [layout.name for layout in found] == ["dubbo", "dubbo", "curator"]
    assert found[0] == Dubbo(root="/company")


def test_durations_are_seconds_or_texts():
    assert settings(session_timeout="15s").session_seconds == 15
    assert settings(session_timeout=20).session_seconds == 20
    assert settings(connect_timeout="500ms").connect_seconds == 0.5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hosts": ""}, "hosts"),
        ({"hosts": "h:99999"}, "hosts"),
        ({"layouts": []}, "layouts: name at least one"),
        ({"layouts": ["naming"]}, "layouts: 'naming' is unknown here"),
        ({"layouts": [{"dubbo": {"rout": "/x"}}]}, "rout"),
        ({"layouts": [{"dubbo": {"root": "/a/../b"}}]}, "root"),
        ({"layouts": ["dubbo", "dubbo"]}, "twice"),
        ({"username": "hub"}, "give both"),
        ({"auth": "sasl"}, "sasl needs"),
        ({"session_timeout": "soon"}, "session_timeout: expected"),
        ({"session_timeout": 0.1}, "session_timeout: expected"),
        ({"connect_timeout": 0}, "connect_timeout: expected"),
        ({"host": "h"}, "host"),
    ],
)
def test_a_wrong_setting_names_its_key(fields: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        settings(**fields)


def test_the_password_is_never_shown():
    assert "secret" not in repr(settings(username="hub", password="secret"))
