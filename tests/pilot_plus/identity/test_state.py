"""What an authority is made for follows from the configuration."""

import socket

from pilot_plus.config import parse
from pilot_plus.identity import settings_of


def names(listen: str) -> tuple[str, ...]:
    return settings_of(parse(f"cluster: east\nlisten: {listen}", {})).hub_names


def test_the_hub_can_be_dialled_by_the_names_that_it_listens_at():
    assert names('{http: "127.0.0.1:1", xds: "10.0.0.1:2"}') == ("10.0.0.1", "127.0.0.1")


def test_a_hub_that_listens_everywhere_can_be_dialled_by_the_names_of_its_machine():
    found = names('{http: "127.0.0.1:1", xds: "0.0.0.0:2"}')
    assert socket.gethostname() in found
    assert "0.0.0.0" not in found
