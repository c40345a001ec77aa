"""The relay, message by message: what the hub says, what an Envoy hears and answers, and what the hub hears of that."""

from collections.abc import Iterable

from envoy.service.discovery.v3 import discovery_pb2 as pb

from edge_sidecar.relay.relay import Relay, Wire
from edge_sidecar.relay.shelf import Shelf
from pilot_plus.wire.discovery import Type

NODE = {"id": "vm/e", "cluster": "vm", "metadata": {}}


class Scene:
    """A relay between a hub and an Envoy that are played by the test."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.relay = Relay(self.shelf)
        self._count = 0

    def hub_says(self, type_: Type, removed: Iterable[str] = (), **versions: str) -> None:
        self._count += 1
        response = pb.DeltaDiscoveryResponse(type_url=type_, nonce=f"h{self._count}", removed_resources=removed)
        for name, version in versions.items():
            response.resources.add(name=name, version=version)
        self.relay.said(response)

    def hub_hears(self) -> list[str]:
        return [_told(request) for request in self.relay.to_hub()]


def ask(wire: Wire, type_: Type, *names: str, has: dict[str, str] | None = None) -> None:
    request = pb.DeltaDiscoveryRequest(type_url=type_, resource_names_subscribe=names)
    request.initial_resource_versions.update(has or {})
    wire.stream.on_request(request)


def hears(wire: Wire) -> pb.DeltaDiscoveryResponse | None:
    data = wire.stream.next()
    return None if data is None else pb.DeltaDiscoveryResponse.FromString(data)


def told(wire: Wire) -> list[str]:
    """Names and versions of the next response, and what is removed by it."""
    response = hears(wire)
    assert response is not None
    return [f"{one.name}={one.version}" for one in response.resources] + [
        f"-{one}" for one in response.removed_resources
    ]


def answer(wire: Wire, type_: Type, nonce: str, error: str = "") -> None:
    request = pb.DeltaDiscoveryRequest(type_url=type_, response_nonce=nonce)
    if error:
        request.error_detail.message = error
    wire.stream.on_request(request)


def _told(request: pb.DeltaDiscoveryRequest) -> str:
    name = Type(request.type_url).name.lower()
    if request.response_nonce:
        return f"{name} {request.response_nonce} {request.error_detail.message or 'ok'}"
    asked = [*request.resource_names_subscribe, *(f"-{one}" for one in request.resource_names_unsubscribe)]
    return f"{name} {' '.join(asked)}"


def test_an_envoy_hears_nothing_before_the_hub_has_said_anything_and_then_everything():
    scene = Scene()
    wire = scene.relay.attach()
    ask(wire, Type.CLUSTER, "*")
    assert hears(wire) is None
    scene.hub_says(Type.CLUSTER, a="1", b="1")
    assert told(wire) == ["a=1", "b=1"]
    assert hears(wire) is None  # one response at a time
    scene.hub_says(Type.CLUSTER, ["a"], c="1")
    assert hears(wire) is None
    answer(wire, Type.CLUSTER, "1")
    assert told(wire) == ["c=1", "-a"]


def test_an_envoy_hears_that_there_is_nothing():
    scene = Scene()
    wire = scene.relay.attach()
    ask(wire, Type.LISTENER, "*")
    scene.hub_says(Type.LISTENER)
    assert told(wire) == []


def test_the_hub_hears_a_verdict_when_the_envoy_has_given_one():
    scene = Scene()
    wire = scene.relay.attach()
    ask(wire, Type.CLUSTER, "*")
    scene.hub_says(Type.CLUSTER, a="1")
    assert scene.hub_hears() == []
    told(wire)
    answer(wire, Type.CLUSTER, "1")
    assert scene.hub_hears() == ["cluster h1 ok"]
    assert scene.shelf.good(Type.CLUSTER)["a"].version == "1"


def test_without_an_envoy_the_hub_is_answered_at_once():
    scene = Scene()
    scene.hub_says(Type.CLUSTER, a="1")
    assert scene.hub_hears() == ["cluster h1 ok"]
    assert scene.shelf.good(Type.CLUSTER) == {}


def test_of_several_it_is_found_which_one_is_rejected_and_the_others_are_kept():
    scene = Scene()
    wire = scene.relay.attach()
    ask(wire, Type.LISTENER, "*")
    scene.hub_says(Type.LISTENER, a="1", b="1")
    told(wire)
    answer(wire, Type.LISTENER, "1")
    scene.hub_hears()
    scene.hub_says(Type.LISTENER, a="2", b="2")
    assert told(wire) == ["a=2", "b=2"]
    answer(wire, Type.LISTENER, "2", "one of them is bad")
    assert told(wire) == ["a=2"]
    answer(wire, Type.LISTENER, "3")
    assert told(wire) == ["b=2"]
    assert scene.hub_hears() == []
    answer(wire, Type.LISTENER, "4", "b is bad")
    assert scene.hub_hears() == ["listener h2 b is bad"]
    assert {name: item.version for name, item in scene.shelf.good(Type.LISTENER).items()} == {"a": "2", "b": "1"}
    assert scene.shelf.rejected[Type.LISTENER, "b"].why == "b is bad"

    again = scene.relay.attach()  # another Envoy begins with what is known to be good
    ask(again, Type.LISTENER, "*")
    assert told(again) == ["a=2", "b=1"]
    scene.hub_says(Type.LISTENER, b="3")
    answer(again, Type.LISTENER, "1")
    assert told(again) == ["b=3"]
    answer(again, Type.LISTENER, "2")
    assert not scene.shelf.rejected


def test_what_an_envoy_asks_for_by_name_the_hub_is_asked_for_once():
    scene = Scene()
    wire = scene.relay.attach()
    ask(wire, Type.ENDPOINTS, "a", "b")
    assert scene.hub_hears() == ["endpoints a b"]
    assert hears(wire) is None
    scene.hub_says(Type.ENDPOINTS, ["b"], a="1")
    assert told(wire) == ["a=1", "-b"]
    answer(wire, Type.ENDPOINTS, "1")
    other = scene.relay.attach()
    ask(other, Type.ENDPOINTS, "a")
    assert told(other) == ["a=1"]
    assert scene.hub_hears() == ["endpoints h1 ok"]
    drop = pb.DeltaDiscoveryRequest(type_url=Type.ENDPOINTS, resource_names_unsubscribe=["a", "b"])
    wire.stream.on_request(drop)
    assert scene.hub_hears() == ["endpoints -b"]  # the other one still wants a


def test_who_asks_again_is_told_again():
    scene = Scene()
    wire = scene.relay.attach()
    ask(wire, Type.SECRET, "own")
    scene.hub_says(Type.SECRET, own="1")
    assert told(wire) == ["own=1"]
    answer(wire, Type.SECRET, "1")
    ask(wire, Type.SECRET, "own")
    assert told(wire) == ["own=1"]


def test_an_envoy_that_comes_back_is_told_only_what_it_does_not_have():
    scene = Scene()
    scene.hub_says(Type.CLUSTER, a="2", b="1")
    wire = scene.relay.attach()
    ask(wire, Type.CLUSTER, has={"a": "1", "b": "1", "gone": "7"})
    assert told(wire) == ["a=2", "-gone"]


def test_a_hub_that_comes_back_is_told_what_is_wanted_and_what_is_there():
    scene = Scene()
    wire = scene.relay.attach()
    ask(wire, Type.CLUSTER, "*")
    ask(wire, Type.ENDPOINTS, "a")
    scene.hub_says(Type.CLUSTER, a="1")
    scene.hub_says(Type.ENDPOINTS, a="5")
    first, second, third = scene.relay.connected(NODE)
    assert [_told(one) for one in (first, second, third)] == ["cluster *", "endpoints a", "listener *"]
    assert dict(first.initial_resource_versions) == {"a": "1"}
    assert dict(second.initial_resource_versions) == {"a": "5"}
    assert first.node.id == "vm/e"
    assert scene.hub_hears() == []  # what was owed to the line before is owed no more


def test_an_envoy_that_drains_gets_no_listeners_any_more():
    scene = Scene()
    scene.hub_says(Type.LISTENER, a="1")
    scene.hub_says(Type.CLUSTER, a="1")
    old = scene.relay.attach()
    ask(old, Type.LISTENER, "*")
    ask(old, Type.CLUSTER, "*")
    told(old), told(old)
    answer(old, Type.LISTENER, "2")
    answer(old, Type.CLUSTER, "1")
    scene.relay.attach()
    scene.relay.retire()
    scene.hub_says(Type.LISTENER, a="2")
    scene.hub_says(Type.CLUSTER, a="2")
    response = hears(old)
    assert response is not None
    assert response.type_url == Type.CLUSTER
    answer(old, Type.CLUSTER, response.nonce)
    assert hears(old) is None


def test_what_was_good_is_served_again_before_the_hub_is_there():
    before = Scene()
    wire = before.relay.attach()
    ask(wire, Type.LISTENER, "*")
    before.hub_says(Type.LISTENER, a="1")
    told(wire)
    answer(wire, Type.LISTENER, "1")
    scene = Scene()
    scene.shelf.restore({Type.LISTENER: dict(before.shelf.good(Type.LISTENER))})
    wire = scene.relay.attach()
    ask(wire, Type.LISTENER, "*")
    assert told(wire) == ["a=1"]


def test_when_envoys_crash_in_a_row_the_last_configuration_that_one_lived_with_is_back():
    scene = Scene()
    first = scene.relay.attach()
    ask(first, Type.LISTENER, "*")
    scene.hub_says(Type.LISTENER, a="1", b="1")
    told(first)
    answer(first, Type.LISTENER, "1")
    scene.shelf.prove()
    scene.shelf.prove()
    scene.hub_says(Type.LISTENER, ["b"], a="2", c="2")
    told(first)
    answer(first, Type.LISTENER, "2")
    scene.relay.detach(first)

    scene.relay.crashed(1)
    assert started(scene) == ["a=2", "c=2"]
    scene.relay.crashed(2)
    assert started(scene) == ["a=1"]
    scene.hub_says(Type.LISTENER, a="3")
    assert started(scene) == ["a=3"]
    scene.relay.crashed(3)
    scene.relay.crashed(4)
    assert started(scene) == ["a=3", "c=2"]
    scene.relay.crashed(5)
    scene.relay.crashed(6)
    assert started(scene) == ["a=1"]


def test_an_agent_that_has_nothing_to_go_back_to_goes_on():
    scene = Scene()
    scene.hub_says(Type.LISTENER, a="1")
    scene.relay.crashed(2)
    assert started(scene) == ["a=1"]


def started(scene: Scene) -> list[str]:
    """What an Envoy that starts gets."""
    wire = scene.relay.attach()
    ask(wire, Type.LISTENER, "*")
    found = told(wire)
    scene.relay.detach(wire)
    return found


def test_a_verdict_on_another_response_and_a_type_that_nobody_serves_change_nothing():
    scene = Scene()
    wire = scene.relay.attach()
    ask(wire, Type.LISTENER, "*")
    scene.hub_says(Type.LISTENER, a="1")
    told(wire)
    answer(wire, Type.LISTENER, "99")
    wire.stream.on_request(pb.DeltaDiscoveryRequest(type_url="type.googleapis.com/other"))
    assert scene.hub_hears() == []
    assert hears(wire) is None
