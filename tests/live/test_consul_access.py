"""Consul reached and let in: tokens and what they may read, TLS, and what no right at all looks like."""

import pytest

from devservers.consul import Consul
from devservers.pytest_plugin import Fresh
from devservers.tls import Tls
from pilot_plus.ports import SourceLost
from registries.consul import Settings, connect
from registries.tls import Tls as TlsSettings
from tests.live.test_consul import first_word, mirroring, one, put, remove, until_names

pytestmark = pytest.mark.live
ROOT = "root-token"


def token(server: Consul, name: str, rules: str) -> str:
    server.call("PUT", "/v1/acl/policy", {"Name": name, "Rules": rules})
    made = server.call("PUT", "/v1/acl/token", {"Policies": [{"Name": name}]})
    assert isinstance(made, dict)
    return str(made["SecretID"])


SERVICES = 'service_prefix "" {policy = "read"}'
NODES = 'node_prefix "" {policy = "read"}'


@pytest.fixture(scope="module")
def guarded():
    with Consul(durable=False, token=ROOT) as server:
        put(server, "orders")
        yield server


async def test_a_token_that_may_read_sees_everything(guarded: Consul):
    secret = token(guarded, "reader", f"{SERVICES} {NODES}")
    async with mirroring(Settings(url=guarded.url, token=secret)) as mirror:
        await until_names(mirror, {"orders"})


@pytest.mark.parametrize(
    ("rules", "why"),
    [("", "may not read any service"), (NODES, "may not read any service"), (SERVICES, "may not read the node")],
)
async def test_a_token_that_sees_nothing_is_no_empty_catalog(guarded: Consul, rules: str, why: str):
    secret = token(guarded, f"rules-{abs(hash(rules))}", rules)
    async with mirroring(Settings(url=guarded.url, token=secret)) as mirror:
        await mirror.until_lost()
        assert why in (mirror.lost or "")
        assert "policy" in (mirror.lost or "")
        assert mirror.heard == []


@pytest.mark.parametrize("secret", ["", "no-such-token"])
async def test_no_token_or_an_unknown_one_is_refused(guarded: Consul, secret: str):
    with pytest.raises(SourceLost, match="token"):
        await first_word(Settings(url=guarded.url, token=secret))


async def test_a_token_for_one_service_sees_that_one(guarded: Consul):
    put(guarded, "orders-eu")
    secret = token(guarded, "narrow", f'service "orders-eu" {{policy = "read"}} {NODES}')
    async with mirroring(Settings(url=guarded.url, token=secret)) as mirror:
        await until_names(mirror, {"orders-eu"})
    remove(guarded, "orders-eu")


async def test_rights_taken_away_are_a_loss_and_no_removal(guarded: Consul):
    secret = token(guarded, "taken", f"{SERVICES} {NODES}")
    async with mirroring(Settings(url=guarded.url, token=secret, wait="1s")) as mirror:
        await until_names(mirror, {"orders"})
        policy = guarded.call("GET", "/v1/acl/policy/name/taken")
        assert isinstance(policy, dict)
        guarded.call("PUT", f"/v1/acl/policy/{policy['ID']}", {"Name": "taken", "Rules": ""})
        await mirror.until_lost(60)
        assert "token" in (mirror.lost or "")
        assert one(mirror, "orders")


async def test_a_catalog_without_consul_itself_has_only_just_begun(fresh: Fresh):
    server = fresh(Consul, durable=False)
    server.call("PUT", "/v1/catalog/deregister", {"Node": "devserver"})
    async with mirroring(Settings(url=server.url)) as mirror:
        await mirror.until(lambda m: m.lost is not None or bool(m.heard), "a word")
        if not mirror.heard:  # the agent may have been quicker in writing itself again
            assert "just started" in (mirror.lost or "")


async def test_over_tls_with_its_own_authority(fresh: Fresh, tls: Tls):
    server = fresh(Consul, durable=False, tls=tls)
    put(server, "orders")
    async with mirroring(Settings(url=server.https_url, tls=TlsSettings(ca=str(tls.ca)))) as mirror:
        await until_names(mirror, {"orders"})
    with pytest.raises(SourceLost, match=r"(?i)certificate"):
        async with connect(Settings(url=server.https_url)):
            pass
