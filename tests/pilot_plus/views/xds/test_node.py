"""A client's node: what the bootstrap writes is what the hub reads, and nobody says that they are somebody else."""

from typing import Any

import pytest

from pilot_plus.model import Role, Speaks, SpiffeId, Viewer
from pilot_plus.quantities import Address
from pilot_plus.views.xds.bootstrap import Wanted, envoy_bootstrap, envoy_files, grpc_bootstrap
from pilot_plus.views.xds.node import check_claims, client_of, metadata_of
from pilot_plus.views.xds.profile import Kind, Profile

MESH = Viewer("vm", Speaks.MESH, certified=True)
FULL = Profile(
    kind=Kind.ENVOY,
    viewer=MESH,
    outbound="127.0.0.1:15001",
    tcp=(("legacy/redis#a=b", "127.0.0.1:6379"),),
    data="/data",
)


@pytest.mark.parametrize(
    "profile",
    [
        FULL,
        Profile(kind=Kind.GRPC, viewer=Viewer("vm", Speaks.GRPC)),
        Profile(kind=Kind.EDGE, viewer=MESH, edge="east/vm/e", address="10.0.0.1", service="shop/orders"),
    ],
)
def test_what_a_bootstrap_says_is_what_the_hub_reads(profile: Profile):
    read = client_of("id", metadata_of(profile), "east").profile
    assert read.viewer.zone == "east/vm"
    assert metadata_of(read, "east") == metadata_of(profile)


def test_a_zone_of_another_cluster_keeps_its_whole_name():
    assert client_of("id", {"pilot-plus": {"zone": "west/vm"}}, "east").profile.viewer.zone == "west/vm"


def identity(role: Role, name: str = "web-7", zone: str = "vm") -> SpiffeId:
    namespace = "shop" if role is Role.SERVICE else ""
    return SpiffeId(trust_domain="east.example", role=role, zone=zone, namespace=namespace, name=name)


@pytest.mark.parametrize(
    ("who", "id_", "is_right"),
    [
        (identity(Role.CLIENT), "web-7", True),
        (identity(Role.CLIENT), "web-8", False),
        (identity(Role.CLIENT, zone="mesh"), "web-7", False),
        (identity(Role.SERVICE, "orders"), "any", True),
        (identity(Role.EDGE), "web-7", False),
        (SpiffeId(trust_domain="east.example", role=Role.HUB), "web-7", False),
    ],
)
def test_claims_are_held_against_the_identity(who: SpiffeId, id_: str, *, is_right: bool):
    client = client_of(id_, {"pilot-plus": {"zone": "vm"}}, "east")
    if is_right:
        check_claims(client, who, "east")
    else:
        with pytest.raises(ValueError, match=r"spiffe://|the hub"):
            check_claims(client, who, "east")


def wanted(**fields: Any) -> Wanted:
    return Wanted(hub=Address("hub.example:15010"), id="web-7", profile=FULL, **fields)


def test_an_envoy_in_plaintext_names_no_file_and_has_no_admin_port():
    made = envoy_bootstrap(wanted())
    assert "admin" not in made
    assert "transport_socket" not in made["static_resources"]["clusters"][0]
    assert envoy_files(wanted()) == {}


def test_an_envoy_that_joined_believes_only_the_hub_and_watches_its_folder():
    asked = wanted(trust_domain="east.example", hub_name="hub.east.example")
    socket = envoy_bootstrap(asked)["static_resources"]["clusters"][0]["transport_socket"]["typed_config"]
    assert socket["sni"] == "hub.east.example"
    anchors = envoy_files(asked)["envoy-hub.json"]["resources"][0]["validation_context"]
    assert anchors["match_typed_subject_alt_names"][0]["matcher"] == {"exact": "spiffe://east.example/hub"}
    assert anchors["watched_directory"] == {"path": "/data"}


def test_grpc_keeps_what_disappears_for_a_moment():
    (server,) = grpc_bootstrap(wanted())["xds_servers"]
    assert "ignore_resource_deletion" in server["server_features"]
