"""The resources of xDS in a real Envoy, read from files: what they say is what it does."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from devservers.envoy import Envoy
from devservers.network import free_port
from pilot_plus.catalog.admission import admission_of
from pilot_plus.catalog.fold import Rules, fold
from pilot_plus.model import Drop, Health, Port, Put, Role, Speaks
from pilot_plus.views.xds.profile import Kind, Profile
from pilot_plus.views.xds.stock import Stock
from pilot_plus.views.xds.tls import Anchors, anchors_of
from pilot_plus.wire.folder import Folder
from tests.live.xds_files import Files
from tests.pilot_plus.identity.company import Company
from tests.pilot_plus.views.world import World, copy, edge
from tests.pilot_plus.views.worlds import EVERYTHING

pytestmark = pytest.mark.live

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b"


class Speaker(asyncio.Protocol):
    """Answers every request, or speaks first and hangs up."""

    def __init__(self, says: bytes, open_ones: set[asyncio.Transport], *, first: bool) -> None:
        self._says, self._open, self._first = says, open_ones, first

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open.add(transport)
        if self._first:
            transport.write(self._says)
            transport.close()

    def data_received(self, data: bytes) -> None:
        if not self._first and data.endswith(b"\r\n\r\n"):
            self._transport.write(ANSWER % (len(self._says), self._says))


@asynccontextmanager
async def speaking(says: bytes, *, first: bool = False, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that answers requests for a web page, or one that speaks first; its port."""
    open_ones: set[asyncio.Transport] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Speaker(says, open_ones, first=first), "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for one in open_ones:
            one.abort()


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A gRPC server that says everything back."""

    async def say(request: bytes, _: object) -> bytes:
        return request

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(say)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {"Say": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(None)


async def ask(port: int, host: str) -> tuple[int, bytes]:
    """The status and the body of an answer."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        status, _, rest = (await reader.read()).partition(b"\r\n")
        writer.close()
    return int(status.split()[1]), rest.partition(b"\r\n\r\n")[2]


def at(number: int, protocol: str = "http", name: str = "http") -> list[Port]:
    return [Port(name, number, protocol)]


def gateway(company: Company, folder: Path, zone: str, asked_for: list[str]) -> ssl.SSLContext:
    """The TLS of an edge of a zone, which notes the server names that it is asked for."""
    own = Folder(folder)
    own.keep(company.held(Role.EDGE, "edge-1", zone))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.current / "chain.pem", own.current / "key.pem")
    context.load_verify_locations(own.current / "bundle.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    return context


class Scene:
    """A catalog that changes, and the files of an Envoy in a zone."""

    def __init__(
        self, world: World, folder: Path, zone: str = "legacy", anchors: Anchors | None = None, **fields: object
    ) -> None:
        self.outbound = free_port()
        viewer = world.viewer(zone, Speaks.MESH)
        self._world, self._catalog = world, world.catalog
        self._stock = Stock(world.catalog, world.topology)
        if anchors:
            self._stock.believe(anchors)
        profile = {"kind": Kind.ENVOY, "viewer": viewer, "outbound": f"127.0.0.1:{self.outbound}", **fields}
        self.files = Files(folder, self._stock.of(Profile(**profile)))  # type: ignore[arg-type]

    def change(self, *updates: Put | Drop) -> None:
        rules = Rules(admission_of(self._world.config, self._world.config.registries[0]))
        folded = fold(self._catalog, "zk", updates, rules, 1.0)
        self._catalog = folded.catalog
        self._stock.advance(folded.catalog, folded.touched)
        self.files.write()


async def test_an_envoy_routes_by_host_with_and_without_the_port(tmp_path: Path):
    async with speaking(b"orders") as orders, speaking(b"admin") as admin:
        ports = [*at(orders), *at(admin, "http", "admin")]
        scene = Scene(World({"zk": [copy("a", address="127.0.0.1", ports=ports)]}), tmp_path)
        with Envoy(scene.files.bootstrap):
            host = "orders.legacy.mesh"
            assert await ask(scene.outbound, host) == (200, b"orders")
            assert await ask(scene.outbound, f"{host}:{orders}") == (200, b"orders")
            assert await ask(scene.outbound, f"{host}:{admin}") == (200, b"admin")
            assert await ask(scene.outbound, f"{host}:{scene.outbound}") == (200, b"orders")
            assert (await ask(scene.outbound, "other.legacy.mesh"))[0] == 404


async def test_grpc_goes_through_by_host(tmp_path: Path):
    async with echo() as known, echo() as unknown:
        held = [
            copy("a", address="127.0.0.1", ports=at(known, "grpc", "grpc")),
            copy("b", "carts", address="127.0.0.1", ports=at(unknown, "unknown", "unknown")),
        ]
        scene = Scene(World({"zk": held}), tmp_path)
        with Envoy(scene.files.bootstrap):
            for host in (f"orders.legacy.mesh:{known}", "carts.legacy.mesh"):
                options = [("grpc.default_authority", host), ("grpc.enable_http_proxy", 0)]
                async with grpc.aio.insecure_channel(f"127.0.0.1:{scene.outbound}", options) as channel:
                    assert await channel.unary_unary("/test.Echo/Say")(b"hello", timeout=10) == b"hello"


async def test_a_tcp_service_has_a_listener_and_connect_opens_one_to_any(tmp_path: Path):
    door = free_port()
    async with speaking(b"welcome", first=True) as number:
        held = [copy("a", "db", address="127.0.0.1", ports=at(number, "mysql", "mysql"))]
        scene = Scene(World({"zk": held}), tmp_path, tcp=(("legacy/db", f"127.0.0.1:{door}"),))
        with Envoy(scene.files.bootstrap):
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection("127.0.0.1", door)
                assert await reader.read() == b"welcome"
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", scene.outbound)
                writer.write(
                    f"CONNECT db.legacy.mesh:{number} HTTP/1.1\r\nhost: db.legacy.mesh:{number}\r\n\r\n".encode()
                )
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(7) == b"welcome"
                writer.close()


async def test_endpoints_come_and_go_and_nothing_dead_is_noticed_by_a_caller(tmp_path: Path):
    async with speaking(b"one") as one, speaking(b"two") as two:
        held = [copy("a", address="127.0.0.1", ports=at(one)), copy("dead", address="127.0.0.1", ports=at(free_port()))]
        scene = Scene(World({"zk": held}), tmp_path)
        with Envoy(scene.files.bootstrap) as envoy:
            host = "orders.legacy.mesh"
            assert {await ask(scene.outbound, host) for _ in range(10)} == {(200, b"one")}
            scene.change(Put(copy("b", address="127.0.0.1", ports=at(two))), Drop("a"))
            async with asyncio.timeout(10):
                while await ask(scene.outbound, host) != (200, b"two"):
                    pass
            assert {await ask(scene.outbound, host) for _ in range(10)} == {(200, b"two")}
            stopped = copy("b", address="127.0.0.1", ports=at(two), health=Health.CRITICAL)
            scene.change(Put(stopped), Drop("dead"))
            async with asyncio.timeout(10):
                while (await ask(scene.outbound, host))[0] != 503:
                    pass
            assert envoy.stats("update_rejected") == dict.fromkeys(envoy.stats("update_rejected"), 0)


async def test_a_host_name_is_asked_for_and_an_empty_service_refuses_nothing(tmp_path: Path):
    async with speaking(b"outside") as number:
        held = [
            copy("a", "outside", address="localhost", ports=at(number)),
            copy("b", "mixed", address="127.0.0.1", ports=at(number)),
            copy("c", "mixed", address="localhost", ports=at(number)),
            copy("d", "gone", health=Health.DRAINING),
        ]
        scene = Scene(World({"zk": held}), tmp_path)
        with Envoy(scene.files.bootstrap) as envoy:
            assert await ask(scene.outbound, "outside.legacy.mesh") == (200, b"outside")
            assert await ask(scene.outbound, "mixed.legacy.mesh") == (200, b"outside")
            assert (await ask(scene.outbound, "gone.legacy.mesh"))[0] == 503
            assert envoy.stats("update_rejected") == dict.fromkeys(envoy.stats("update_rejected"), 0)


async def test_an_edge_stands_for_what_is_not_reached_and_one_of_another_zone_does_not(tmp_path: Path):
    company = await Company().open()
    data = tmp_path / "data"
    Folder(data).keep(company.held(Role.CLIENT, "web-7", "mesh"))
    asked_for: list[str] = []
    for folder in ("files", "again"):
        (tmp_path / folder).mkdir()
    for zone, expected in (("legacy", 200), ("vm", 503)):
        tls = gateway(company, tmp_path / f"edge-{zone}", zone, asked_for)
        async with speaking(b"through", tls=tls) as number:
            theirs = edge("e", "legacy", address="127.0.0.1", ports=[Port("mesh", number, "tls")], carries="*/*")
            world = World({"zk": [copy("a")]}, [theirs], exports=EVERYTHING)
            anchors = anchors_of(company.authority.trust)
            scene = Scene(world, tmp_path / ("files" if zone == "legacy" else "again"), "mesh", anchors, data=str(data))
            with Envoy(scene.files.bootstrap) as envoy:
                assert (await ask(scene.outbound, "orders.legacy.mesh"))[0] == expected
                assert envoy.stats("update_rejected") == dict.fromkeys(envoy.stats("update_rejected"), 0)
    assert set(asked_for) == {"http.orders.legacy.mesh"}


async def test_the_next_priority_takes_over_at_once_when_all_of_the_first_die(tmp_path: Path):
    registries = [
        {"name": "zk", "kind": "memory", "zone": "legacy"},
        {"name": "consul", "kind": "memory", "zone": "legacy"},
    ]
    async with speaking(b"later") as later:
        dead = [copy(f"dead-{n}", address="127.0.0.1", ports=at(free_port())) for n in range(2)]
        stale = copy("later", address="127.0.0.1", ports=at(later))
        world = World({"zk": dead, "consul": [stale]}, lost=["consul"], registries=registries)
        scene = Scene(world, tmp_path)
        with Envoy(scene.files.bootstrap):
            assert {await ask(scene.outbound, "orders.legacy.mesh") for _ in range(20)} == {(200, b"later")}
