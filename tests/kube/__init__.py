"""A Kubernetes API server for tests: no cluster behind it, but the API as a real one speaks it.

Real: one revision for all kinds, pages at one revision with continue tokens that expire, watches with bookmarks and a
window of history (410 as ERROR event, or as status), an end of a watch in order, server-side apply with owners of
fields, conflicts, validation (422, with a real one's words), namespaces that have to exist, RBAC by objects, 401 and
403, discovery of custom resources, writes that change nothing making no revision; what has lost its owner is collected.
Not there: other controllers (nobody makes slices from pods), admission, strategic merge, protobuf, gzip.

`test_facts.py` holds what is claimed here, and runs against a real `kube-apiserver` too when `KUBEBUILDER_ASSETS` names
the folder of one. Faults (`faults.py`) are the fake's alone.
"""

from tests.kube.api import Api, Settings
from tests.kube.faults import Faults
from tests.kube.running import Kubectl, Process, kubeconfig, serving
from tests.kube.store import Store

__all__ = ["Api", "Faults", "Kubectl", "Process", "Settings", "Store", "kubeconfig", "serving"]
