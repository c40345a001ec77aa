import msgspec
import pytest

from registries.etcd import Settings
from registries.etcd.settings import Endpoint
from registries.layouts.naming import Naming


def settings(**options: object) -> Settings:
    return msgspec.convert({"layouts": ["kratos"], **options}, Settings)


def test_a_layout_is_a_name_or_a_name_with_options():
    made = settings(layouts=["kratos", {"naming": {"prefix": "services", "protocol": "http"}}, {"go-zero": None}])
    assert [layout.name for layout in made.known_layouts] == ["kratos", "naming", "go-zero"]
    assert made.known_layouts[1] == Naming(prefix="services", protocol="http")


def test_an_endpoint_is_a_url_or_host_and_port():
    made = settings(endpoints=["http://a:1", "https://b", "c:3", "http://[fd00::1]:4/"])
    assert made.places == (
        Endpoint("a:1", secure=False),
        Endpoint("b:2379", secure=True),
        Endpoint("c:3", secure=False),
        Endpoint("[fd00::1]:4", secure=False),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layouts": []}, "layouts: at least one"),
        ({"layouts": ["zookeeper"]}, "'zookeeper' is unknown here; known are"),
        ({"layouts": [{"naming": {"prefx": "x"}}]}, "naming: .*prefx"),
        ({"layouts": ["template"]}, "template: pattern"),
        ({"endpoints": []}, "endpoints: at least one"),
        ({"endpoints": ["ftp://a:1"]}, "endpoints: 'ftp://a:1' is expected"),
        ({"endpoints": ["http://a:1/path"]}, "endpoints: .* is expected"),
        ({"endpoints": ["http://a:99999"]}, "endpoints: .* is no URL"),
        ({"endpoints": ["http://root:secret@a:1"]}, "use username and password"),
        ({"password": "secret"}, "password: .* without a username"),
        ({"timeout": 0}, "timeout: expected"),
        ({"silence": 0.1}, "silence: expected"),
        ({"silence": "soon"}, "silence: .*soon"),
        ({"layouts": ["kratos", {"kratos": {"prefix": "/microservices/"}}]}, "layouts: one of them stands there twice"),
        ({"page": 0}, "page: expected"),
        ({"pages": 1}, "unknown field"),
    ],
)
def test_what_is_wrong_is_named_with_the_remedy_and_without_secrets(options: dict[str, object], message: str):
    with pytest.raises(msgspec.ValidationError, match=message) as caught:
        settings(**options)
    assert "secret" not in str(caught.value)


def test_the_password_is_never_shown():
    assert "secret" not in repr(settings(username="root", password="secret"))


def test_times_are_seconds_or_durations():
    made = settings(timeout="500ms", silence=3)
    assert (made.timeout_seconds, made.silence_seconds) == (0.5, 3)
