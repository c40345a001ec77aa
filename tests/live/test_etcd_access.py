"""etcd reached and let in: users, tokens, TLS, and the next endpoint where one is down."""

import asyncio
from collections.abc import Sequence

import pytest

from devservers.etcd import Etcd as Server
from devservers.network import free_port
from devservers.pytest_plugin import Fresh
from devservers.tls import Tls as Certificates
from pilot_plus.model import Reset, Update
from pilot_plus.ports import SourceLost
from registries.etcd import connect
from registries.tls import Tls
from tests.live.test_etcd import BOUND, listening, names, settings, write

pytestmark = pytest.mark.live


async def test_a_user_is_let_in_and_a_wrong_password_said(fresh: Fresh):
    server = fresh(Server)
    write(server, "a")
    user, password = server.enable_auth()
    async with listening(settings(server.url, username=user, password=password)) as ear:
        assert await names(ear) == ["a"]
    with pytest.raises(SourceLost, match="refuses user 'root'") as lost:
        async with connect(settings(server.url, username=user, password="wr0ng")):
            pass
    assert "wr0ng" not in str(lost.value)
    with pytest.raises(SourceLost, match="set username and password"):
        async with connect(settings(server.url)):
            pass


async def test_a_user_where_nobody_asks_for_one_is_let_in(etcd: Server):
    async with listening(settings(etcd.url, username="root", password="x")) as ear:
        assert isinstance(await ear.change(), Reset)


async def test_a_user_without_the_right_to_read_is_told_so(fresh: Fresh):
    server = fresh(Server)
    server.call("/v3/auth/user/add", {"name": "guest", "password": "guest"})
    server.enable_auth()
    with pytest.raises(SourceLost, match="user 'guest' may not do that"):
        async with connect(settings(server.url, username="guest", password="guest")):
            pass


async def test_a_token_that_died_is_replaced(fresh: Fresh):
    server = fresh(Server)
    user, password = server.enable_auth()
    write(server, "a")
    async with asyncio.timeout(BOUND), connect(settings(server.url, username=user, password=password)) as source:
        server.kill()
        server.start_again()
        server.call("/v3/auth/user/add", {"name": "other", "password": "x"})
        losses: list[str] = []
        reset: Update | None = None
        while reset is None:  # the channel has yet to see that its connection is gone
            try:
                reset = await anext(source.watch())
            except SourceLost as lost:
                losses.append(str(lost))
        assert not any("token" in loss for loss in losses)
        assert isinstance(reset, Reset)
        assert [one.name for one in reset.instances] == ["a"]


async def test_tls_is_verified_and_certificates_are_shown(fresh: Fresh, tls: Certificates):
    server = fresh(Server, tls=tls, client_certificates=True)
    write_to = settings(server.url, tls=_tls(ca=str(tls.ca), cert=str(tls.client.cert), key=str(tls.client.key)))
    async with listening(write_to) as ear:
        assert await names(ear) == []
    for wrong in (_tls(), _tls(ca=str(tls.ca))):
        with pytest.raises(SourceLost):
            async with connect(settings(server.url, tls=wrong, timeout=2)):
                pass
    with pytest.raises(SourceLost, match=r"TLS file /nowhere\.pem"):
        async with connect(settings(server.url, tls=_tls(ca="/nowhere.pem"))):
            pass


async def test_the_next_endpoint_is_taken_where_one_is_down_or_silent(fresh: Fresh):
    good, silent = fresh(Server), fresh(Server)
    write(good, "a")
    silent.pause()
    urls = [f"http://127.0.0.1:{free_port()}", silent.url, good.url.replace("127.0.0.1", "localhost")]
    async with listening(settings("", endpoints=urls, timeout=1)) as ear:
        assert await names(ear) == ["a"]
    with pytest.raises(SourceLost) as lost:
        async with connect(settings("", endpoints=urls[:2], timeout=1)):
            pass
    assert str(lost.value).count("etcd at") == 2


async def test_a_member_cut_off_from_its_cluster_is_a_loss(fresh: Fresh):
    first, second = await _cluster(fresh)
    write(first, "a")
    async with listening(settings(first.url, timeout=2, silence=10)) as ear:
        assert await names(ear) == ["a"]
        second.kill()
        assert "leader" in await ear.end()


def _tls(**files: str) -> Tls:
    return Tls(**files)


async def _cluster(fresh: Fresh) -> Sequence[Server]:
    """Two members: without one the other has no leader."""
    peers = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    cluster = ",".join(f"m{n}={peer}" for n, peer in enumerate(peers))
    started = [
        asyncio.to_thread(
            fresh,
            Server,
            arguments=[
                f"--name=m{n}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster={cluster}",
            ],
        )
        for n, peer in enumerate(peers)
    ]
    return await asyncio.gather(*started)
