"""Kubernetes: Services and EndpointSlices, read by list and watch, and written by server-side apply.

settings, kubeconfig, access            where the API server is, and who we are to it
client, watch, kinds                    its HTTP; list and watch of one kind
objects, names, ports, copies           what its objects say
decode, join, change, source            from them to instances, and what all of them say together
encode, shelf, bodies                   from instances to objects, and what of them is to be written
shelves, writes, sink                   what is there, and the writing of it
keeper, locks                           leased copies, and whose turn it is to write
"""

from registries.kubernetes.registry import Kubernetes, connect
from registries.kubernetes.settings import Settings

__all__ = ["Kubernetes", "Settings", "connect"]
