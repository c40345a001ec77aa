"""ZooKeeper: service records as Dubbo, Spring Cloud, Curator, SOFARPC and Finagle leave them in its tree."""

from registries.zookeeper.registry import Zookeeper, connect
from registries.zookeeper.settings import LAYOUTS, Settings

__all__ = ["LAYOUTS", "Settings", "Zookeeper", "connect"]
