"""Kubernetes: Services and EndpointSlices, read by list and watch, and written by server-side apply.

settings, kubeconfig, access    where the API server is, and who we are to it
client, watch                   its HTTP; list and watch of one kind
objects, ports, copies, decode  from its objects to instances
join, change, source            what all of them say together, as a source
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from registries.kubernetes.client import client
from registries.kubernetes.kubeconfig import access
from registries.kubernetes.settings import Settings
from registries.kubernetes.source import KubernetesSource

__all__ = ["Settings", "connect"]


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[KubernetesSource]:
    """Open the API server.

    Raises:
        SourceLost: it can't be reached, or refuses us.
    """
    async with client(access(settings)) as opened:
        source = KubernetesSource(opened, settings)
        await source.check()
        yield source
