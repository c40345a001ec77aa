"""Real servers on loopback: brought from Debian, started in a moment, broken on purpose, gone with their parent.

`python -m devservers` brings what the machine lacks; `README.md` shows how tests use the rest.
"""

from devservers.cache import MissingServer
from devservers.consul import Consul
from devservers.envoy import Envoy
from devservers.etcd import Etcd
from devservers.fault_proxy import FaultProxy
from devservers.java import JavaProcess, JavaProgram, compile_java, curator_classpath
from devservers.network import free_port
from devservers.postgres import Postgres
from devservers.process import Process, Server, StartFailed
from devservers.tls import Authority, Certificate, Tls, make_tls
from devservers.zookeeper import ZooKeeper

__all__ = [
    "Authority",
    "Certificate",
    "Consul",
    "Envoy",
    "Etcd",
    "FaultProxy",
    "JavaProcess",
    "JavaProgram",
    "MissingServer",
    "Postgres",
    "Process",
    "Server",
    "StartFailed",
    "Tls",
    "ZooKeeper",
    "compile_java",
    "curator_classpath",
    "free_port",
    "make_tls",
]
