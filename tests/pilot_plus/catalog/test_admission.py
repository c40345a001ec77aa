"""Admission: addresses that may not enter, because they lead to this machine, to everybody, or to the hub itself."""

import json
from typing import Any

import msgspec
import pytest

from pilot_plus.catalog.admission import Admission, admission_of
from pilot_plus.config import parse
from pilot_plus.machine import own_addresses
from pilot_plus.model import Port, instance


def admission(http: str, **accept: Any) -> Admission:
    section = {"name": "zk", "kind": "zookeeper", "zone": "z", "accept": accept}
    config = parse(json.dumps({"cluster": "east", "listen": {"http": http}, "registries": [section]}), {})
    return admission_of(config, config.registries[0])


def entered(rules: Admission, address: str, port: int = 80) -> bool:
    made = instance(key="k", name="orders", id="a", address="10.0.0.1", ports=[Port("http", port, "http")])
    try:
        rules.instance(msgspec.structs.replace(made, address=address))
    except ValueError:
        return False
    return True


UNFIT = [
    "127.0.0.1",
    "::1",
    "localhost",
    "::ffff:127.0.0.1",
    "169.254.1.1",
    "fe80::1",
    "224.0.0.1",
    "ff02::1",
    "0.0.0.0",
]


@pytest.mark.parametrize("address", UNFIT)
def test_addresses_that_mean_somebody_else_to_each_caller_are_refused(address: str):
    assert not entered(admission("10.9.9.9:7080"), address)


def test_a_hub_that_listens_only_on_loopback_lets_loopback_in():
    rules = admission("127.0.0.1:7080")
    assert [address for address in UNFIT if entered(rules, address)] == UNFIT[:4]
    assert not entered(rules, "127.0.0.1", 7080)


def test_networks_that_are_accepted_let_in_themselves_and_nothing_else():
    rules = admission("10.9.9.9:7080", cidrs=["127.0.0.0/8", "10.1.0.0/16"])
    assert [address for address in (*UNFIT, "10.1.2.3", "10.2.0.1") if entered(rules, address)] == [
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "10.1.2.3",
    ]


def test_nobody_registers_the_hubs_own_listener_under_any_address_that_it_has():
    rules = admission("10.9.9.9:7080")
    assert (entered(rules, "10.9.9.9", 7080), entered(rules, "10.9.9.9", 7081)) == (False, True)
    everywhere = admission("0.0.0.0:7080", cidrs=["0.0.0.0/0", "::/0"])
    assert "127.0.0.1" in own_addresses()
    for address in own_addresses():
        assert (entered(everywhere, address, 7080), entered(everywhere, address, 7081)) == (False, True)
