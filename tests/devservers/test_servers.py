"""What every server promises: it starts, dies, comes back with its data, forgets when wiped, and leaves nothing."""

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError

import asyncpg
import pytest
from kazoo.client import KazooClient

from devservers import Consul, Envoy, Etcd, Postgres, Server, StartFailed, ZooKeeper


@dataclass(frozen=True)
class Kind:
    """A server, and how a value is written to it and read again."""

    make: Callable[[], Server]
    write: Callable[[Server, str], None]
    read: Callable[[Server], str | None]


@contextlib.contextmanager
def kazoo(server: Server) -> Iterator[KazooClient]:
    client = KazooClient(server.address, timeout=4)
    client.start(timeout=10)
    try:
        yield client
    finally:
        client.stop()
        client.close()


def zookeeper_write(server: Server, value: str) -> None:
    with kazoo(server) as client:
        client.create("/value", value.encode())


def zookeeper_read(server: Server) -> str | None:
    with kazoo(server) as client:
        return client.get("/value")[0].decode() if client.exists("/value") else None


def consul_write(server: Server, value: str) -> None:
    assert isinstance(server, Consul)
    assert server.call("PUT", "/v1/kv/value", value) is True


def consul_read(server: Server) -> str | None:
    assert isinstance(server, Consul)
    try:
        return json.dumps(server.call("GET", "/v1/kv/value?raw")).strip('"')
    except HTTPError as error:
        error.close()
        if error.code != 404:
            raise
        return None


def etcd_write(server: Server, value: str) -> None:
    assert isinstance(server, Etcd)
    server.put("/value", value)


def etcd_read(server: Server) -> str | None:
    assert isinstance(server, Etcd)
    return server.get("/value")


def query(url: str, statement: str) -> str | None:
    async def ask() -> str | None:
        connection = await asyncpg.connect(url)
        try:
            found = await connection.fetchval(statement)
            return None if found is None else str(found)
        finally:
            await connection.close()

    return asyncio.run(ask())


def postgres_write(server: Server, value: str) -> None:
    query(server.url, f"CREATE TABLE kept AS SELECT '{value}' AS value")


def postgres_read(server: Server) -> str | None:
    there = query(server.url, "SELECT to_regclass('kept')::text")
    return query(server.url, "SELECT value FROM kept") if there else None


KINDS = {
    "zookeeper": Kind(ZooKeeper, zookeeper_write, zookeeper_read),
    "consul": Kind(Consul, consul_write, consul_read),
    "etcd": Kind(Etcd, etcd_write, etcd_read),
    "postgres": Kind(Postgres, postgres_write, postgres_read),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def test_a_killed_server_comes_back_with_its_data_and_a_wiped_one_without(kind: Kind) -> None:
    with kind.make() as server:
        address = server.address
        kind.write(server, "kept")
        server.kill()
        assert not server.is_running
        server.start_again()
        assert kind.read(server) == "kept"
        server.wipe()
        assert kind.read(server) is None
        assert server.address == address
        pid, folder = server.pid, server.folder
    assert not Path(f"/proc/{pid}").exists()
    assert not folder.exists()


def test_a_quick_consul_forgets() -> None:
    with Consul(durable=False) as server:
        consul_write(server, "lost")
        server.start_again()
        assert consul_read(server) is None


async def test_a_paused_server_keeps_its_connections_and_answers_when_resumed() -> None:
    async with Etcd() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        server.pause()
        writer.write(b"GET /health HTTP/1.0\r\n\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read()
        server.resume()
        assert b"200 OK" in await reader.read()
        writer.close()


def test_a_paused_database_stops_its_helpers_too() -> None:
    with Postgres() as server:
        server.pause()
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        states = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] for child in children]
        assert states
        assert set(states) == {"T"}
        server.stop()  # wakes it first
        assert not server.is_running


def test_what_the_log_says_comes_with_a_failed_start() -> None:
    with pytest.raises(StartFailed, match="flag provided but not defined"), Etcd(arguments=["--no-such-flag"]):
        pass


def test_a_server_started_in_a_thread_outlives_the_thread() -> None:
    with Etcd() as server:
        server.kill()
        thread = threading.Thread(target=server.start)
        thread.start()
        thread.join()
        assert server.put("/a", "1") > 0
        assert server.is_running


def test_servers_die_with_a_process_that_is_killed() -> None:
    program = "import devservers, time; s = devservers.Etcd().start(); print(s.pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        server = os.pidfd_open(pid)
        parent.send_signal(signal.SIGKILL)
    assert has_ended(server)


def has_ended(pidfd: int) -> bool:
    """Wait for the end of a process that is not our child."""
    try:
        return bool(select.select([pidfd], [], [], 5)[0])
    finally:
        os.close(pidfd)


def test_envoy_runs_a_bootstrap_and_shows_its_statistics() -> None:
    with Envoy({"static_resources": {}}) as server:
        assert server.stats("server.live") == {"server.live": 1}
        server.kill()
        server.start_again()
        assert "cluster" in server.get("/help")


def test_a_fresh_database_is_empty_and_its_own(postgres: Postgres) -> None:
    first, second = postgres.fresh_database(), postgres.fresh_database()
    query(first, "CREATE TABLE kept AS SELECT 1")
    assert query(second, "SELECT to_regclass('kept')::text") is None
