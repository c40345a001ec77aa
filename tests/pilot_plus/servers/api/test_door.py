"""The door: who may ask at all."""

import pytest

from pilot_plus.config import ConfigError
from pilot_plus.model import Reset
from tests.pilot_plus.servers.api.asking import Asking
from tests.pilot_plus.servers.api.hub import CONFIG, Hub
from tests.pilot_plus.servers.api.test_registration import ORDERS

READ, REGISTER, OPERATE = "r" * 20, "g" * 20, "o" * 20
OPEN = CONFIG.replace('listen: {http: "127.0.0.1:0"}', 'listen: {http: "10.0.0.1:7080"}')
CLOSED = CONFIG.replace('listen: {http: "127.0.0.1:0"}', 'listen: {http: "10.0.0.1:7080", tls: {cert: c, key: k}}') + (
    "auth: {tokens: ["
    f"{{secret: {READ}, roles: [read]}}, {{secret: {REGISTER}, roles: [register]}}, "
    f"{{secret: {OPERATE}, roles: [read, register, operate]}}]}}\n"
)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:7080", "[::1]:7080", "LOCALHOST:80", "127.0.0.1"])
async def test_on_loopback_this_machines_names_are_let_in(host):
    async with Asking(Hub(), host) as ask:
        assert (await ask("GET", "/healthz")).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7080", "127.0.0.1.evil.example", "10.0.0.1", "0.0.0.0"])
async def test_on_loopback_another_host_is_refused(host):
    async with Asking(Hub(), host) as ask:
        for path in ("/api/v1/services", "/healthz", "/nothing"):
            assert (await ask("GET", path)).status_code == 403


async def test_a_page_of_another_site_cannot_write():
    hub = Hub()
    hub.say("own", Reset())
    async with Asking(hub) as ask:
        far = await ask("POST", "/api/v1/registries/zk/release", headers={"origin": "http://evil.example"})
        assert far.status_code == 403
        near = await ask("POST", "/api/v1/registries/zk/release", headers={"origin": "http://127.0.0.1:7080"})
        assert near.status_code == 200


async def test_on_loopback_no_token_is_needed():
    async with Asking(Hub(CONFIG + f"auth: {{tokens: [{{secret: {READ}, roles: [read]}}]}}\n")) as ask:
        assert (await ask("GET", "/api/v1/services")).status_code == 200


@pytest.mark.parametrize(
    ("text", "missing"),
    [(OPEN, "listen.tls"), (CLOSED.partition("auth:")[0], "auth.tokens")],
)
def test_off_loopback_the_hub_does_not_open_to_everybody(text, missing):
    with pytest.raises(ConfigError, match=rf"{missing}.*--insecure"):
        Hub(text)


async def test_insecure_opens_in_so_many_words():
    async with Asking(Hub(OPEN, insecure=True), "hub.example") as ask:
        assert (await ask("GET", "/api/v1/services")).status_code == 200


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        (f"Basic {READ}", 401),
        ("Bearer wrong", 401),
        (f"Bearer {READ}x", 401),
        (f"Bearer {READ}", 200),
        (f"bearer {READ}", 200),
        (f"Bearer {REGISTER}", 403),
        (f"Bearer {OPERATE}", 200),
    ],
)
async def test_off_loopback_reading_needs_a_token_that_may(authorization, status):
    async with Asking(Hub(CLOSED), "hub.example", authorization=authorization) as ask:
        response = await ask("GET", "/api/v1/services")
        assert response.status_code == status
        assert READ not in response.text
        assert (await ask("GET", "/healthz")).status_code == 200
        assert (await ask("GET", "/nothing")).status_code == (404 if status == 200 else status)


@pytest.mark.parametrize(
    ("token", "register", "operate"), [(READ, 403, 403), (REGISTER, 201, 403), (OPERATE, 201, 200)]
)
async def test_roles_say_what_a_token_may(token, register, operate):
    hub = Hub(CLOSED)
    hub.say("own", Reset())
    async with Asking(hub, "hub.example", authorization=f"Bearer {token}") as ask:
        assert (await ask("POST", "/api/v1/instances", json=ORDERS)).status_code == register
        assert (await ask("POST", "/api/v1/registries/zk/release")).status_code == operate
