"""Fixtures for every test: servers shared by the session, and `fresh` ones to break.

They are plain (not async), so they belong to no event loop. A server that cannot be found fails the test.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Protocol, TypeVar

import pytest

from devservers.consul import Consul
from devservers.etcd import Etcd
from devservers.postgres import Postgres
from devservers.process import Process
from devservers.tls import Tls, make_tls
from devservers.zookeeper import ZooKeeper

P = TypeVar("P", bound=Process)


class Fresh(Protocol):
    """Starts a server for one test: `fresh(Etcd, quota_bytes=…)`; it ends with the test."""

    def __call__(self, kind: Callable[..., P], /, *arguments: object, **options: object) -> P:
        """Start a server of this class, made with these arguments."""


def pytest_configure() -> None:
    """Let the processes that tests start be interrupted, also where the tests themselves are a background job.

    A shell without job control lets such a job ignore SIGINT, and whoever is started inherits that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def zookeeper() -> Iterator[ZooKeeper]:
    """A running ZooKeeper, shared: use a path of your own in it."""
    with ZooKeeper() as server:
        yield server


@pytest.fixture(scope="session")
def consul() -> Iterator[Consul]:
    """A running Consul, shared: use service names of your own in it."""
    with Consul(durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def etcd() -> Iterator[Etcd]:
    """A running etcd, shared: use a prefix of your own in it, and don't compact it."""
    with Etcd() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL, shared: use its `fresh_database()`."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Certificates of a throw-away authority, for a server on loopback and a client."""
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def fresh() -> Iterator[Fresh]:
    """Starts servers that only this test uses, and may break."""
    with ExitStack() as started:

        def start(kind: Callable[..., P], /, *arguments: object, **options: object) -> P:
            server = kind(*arguments, **options)
            started.enter_context(server)
            return server

        yield start
