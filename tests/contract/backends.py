"""The backends that the contract is tested over: one line a kind."""

import importlib
import os
from contextlib import AbstractContextManager, nullcontext
from typing import Final, cast

from tests.contract.backend import Backend

BACKENDS: Final = {
    "memory": "tests.contract.backend_memory:MemoryBackend",
    "zookeeper": "tests.contract.backend_zookeeper:ZooKeeperBackend",
    "consul": "tests.contract.backend_consul:ConsulBackend",
    "etcd": "tests.contract.backend_etcd:EtcdBackend",
    "sqlite": "tests.contract.backend_database:SQLiteBackend",
    "postgresql": "tests.contract.backend_database:PostgreSQLBackend",
    "peer": "tests.contract.backend_peer:PeerBackend",
    "kubernetes": "tests.contract.backend_kubernetes:KubernetesBackend",
}
"""Each is a class made without arguments, whose object is a `Backend`; a context manager too, if it owns a server."""


def backend(kind: str) -> AbstractContextManager[Backend]:
    """Make the backend of a kind; its server runs as long as the context does."""
    module, _, name = BACKENDS[kind].partition(":")
    made = getattr(importlib.import_module(module), name)()
    return cast("AbstractContextManager[Backend]", made if hasattr(made, "__enter__") else nullcontext(made))


def chosen() -> list[str]:
    """All of them, or those that `PILOT_PLUS_BACKENDS=etcd,consul` names: for work on one adapter."""
    names = os.environ.get("PILOT_PLUS_BACKENDS", "")
    return [name for name in names.split(",") if name] or list(BACKENDS)
