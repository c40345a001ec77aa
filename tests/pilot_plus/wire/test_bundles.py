"""Bundles: the roots of each trust domain, as whoever reads SPIFFE's format finds them."""

import asyncio
import json

from pilot_plus.wire.bundles import bundles_of, read_bundles
from pilot_plus.wire.certificates import der
from tests.pilot_plus.identity.company import Company


def test_what_is_written_is_read_and_has_the_fields_that_the_format_asks_for():
    east, west = (asyncio.run(Company().open()).authority.trust.roots for _ in "12")
    text = bundles_of({"east.example": east, "west.example": west + east})
    assert {name: [der(one) for one in roots] for name, roots in read_bundles(text).items()} == {
        "east.example": [der(one) for one in east],
        "west.example": [der(one) for one in west + east],
    }
    (key,) = json.loads(text)["trust_domains"]["east.example"]["keys"]
    assert (key["kty"], key["use"], key["crv"], len(key["x5c"])) == ("EC", "x509-svid", "P-256", 1)
    assert len(key["x"]) == len(key["y"]) == 43
